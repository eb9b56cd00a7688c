/* SPDX-License-Identifier: Apache-2.0 */
/* A value from a .pb file: TensorProto, SequenceProto, OptionalProto, MapProto or SparseTensorProto. */
#ifndef TOOLS_TENSOR_FILE_H
#define TOOLS_TENSOR_FILE_H

#include "onnx/tensor_file.h"
#include <partita/partita.h>

/* `kind`: what the model says the value is; files do not tell. */
partita_status tool_tensor_file_read(const char *path, partita_kind kind, partita_value **out_value);
partita_status tool_value_of_item(const pt_item *item, partita_value **out_value);

#endif
