# SPDX-License-Identifier: Apache-2.0
"""A second opinion on plans: what a stored plan costs, computed from its JSON, the model's file and the description of the
simulated machine, by nothing of the planner's.

The models are those of the planner's definition. Additive: every unit on its device, and each value once to every other
device that reads it, from where it is made. Overlapped: clusters are the connected units of one device and depth, depth
being the most changes of device on a way there; a device runs one at a time; each ordered pair of devices is one queue of
transfers; a transfer is issued when its producer's cluster ends; a free device takes the ready cluster of largest rank.
Prices are closed over ways through other devices. Times are integers in picoseconds.
"""
import collections
import heapq

import onnx
from onnx import AttributeProto

BLOCK = 1024
HOST = "(host)"


def picoseconds(us):
    return int(us * 1e6 + 0.5)


class Machine:
    """The devices of a machine file by name, and what a value costs on its way between any two or the host."""

    def __init__(self, path, devices):
        sections = []
        with open(path) as file:
            for line in file:
                line = line.split("#")[0].strip()
                if line == "[device]":
                    sections.append({})
                elif line:
                    key, _, value = line.partition("=")
                    sections[-1][key.strip()] = value.strip()
        self.devices = list(devices)
        self.config = {f"sim:{i}": s for i, s in enumerate(sections)}
        if len(sections) == 1:
            self.config["sim"] = sections[0]
        self.launch = {d: picoseconds(float(self.config[d].get("launch_us", 5))) for d in self.devices}
        self.launch[HOST] = 0
        for config in self.config.values():  # the judge knows copies through the host only
            assert config.get("memory") == "host" or (config["import"], config["export"]) == ("", "")

    def price(self, source, target, size):
        """Everything goes through host memory, so the cheapest way is the sum of both legs."""
        if source == target:
            return 0
        blocks = -(-size // BLOCK)
        legs = [self.config[d] for d in (source, target) if d != HOST and self.config[d].get("memory") != "host"]
        latency = sum(float(c.get("copy_us", 5)) for c in legs)
        rate = sum(1 / float(c.get("copy_bytes_per_us", 1000)) for c in legs)
        return picoseconds(latency) + picoseconds(rate * BLOCK) * blocks


class Work:
    """Units of a plan, what each device asks for them, and the values between them."""

    def __init__(self, model, plan, sizes):
        """`sizes`: bytes of every value that a node makes or the model takes."""
        graph = model.graph
        rows = plan["nodes"]
        assert len(rows) == len(graph.node), "a row for every node of the file"
        constants = {i.name for i in graph.initializer}
        alias, makers, seen = {}, {}, {}
        self.cost, self.reads = {}, collections.OrderedDict()  # by unit; by value: units in the order of reading
        for node, row in zip(graph.node, rows):
            inputs = [alias.get(i, i) for i in node.input if i]
            unit, why = row["unit"], row["removed_by"]
            live = [i for i in inputs if i not in constants]
            key = (node.op_type, tuple(inputs), str(sorted(a.SerializeToString() for a in node.attribute)))
            if unit is None and why == "cse":
                alias.update(zip(node.output, seen[key]))
            elif unit is None and (not live or why == "fold"):
                constants.update(node.output)
            elif unit is None:
                alias.update({o: live[0] for o in node.output})
            else:
                seen.setdefault(key, list(node.output))
                self.cost.setdefault(unit, {a["device"]: picoseconds(a["us"]) for a in row["answers"] if a["can"]})
                for i in live:
                    if makers.get(i) != unit and unit not in self.reads.setdefault(i, []):
                        self.reads[i].append(unit)
                makers.update({o: unit for o in node.output})
        self.units = sorted(self.cost)
        self.maker = {v: makers.get(v) for v in self.reads}
        self.outputs = {alias.get(o.name, o.name) for o in graph.output}
        for o in graph.output:
            v = alias.get(o.name, o.name)
            self.reads.setdefault(v, [])
            self.maker[v] = makers.get(v)
        self.reads = {v: r for v, r in self.reads.items() if r or (v in self.outputs and self.maker[v] is not None)}
        self.size = {v: sizes[v] for v in self.reads}

    def placement(self, plan):
        return {row["unit"]: row["device"] for row in plan["nodes"] if row["unit"] is not None}

    def greedy(self, devices, first=None):
        order = ([first] if first else []) + list(devices)
        return {u: next(d for d in order if d in self.cost[u]) for u in self.units}

    # ---- the two models --------------------------------------------------------------------------

    def targets(self, value, where):
        home = HOST if self.maker[value] is None else where[self.maker[value]]
        there = []
        for unit in self.reads[value]:
            if where[unit] != home and where[unit] not in there:
                there.append(where[unit])
        if value in self.outputs and home != HOST and self.maker[value] is not None and HOST not in there:
            there.append(HOST)
        return home, there

    def additive(self, machine, where):
        total = sum(self.cost[u][where[u]] for u in self.units)
        for value in self.reads:
            home, there = self.targets(value, where)
            total += sum(machine.price(home, d, self.size[value]) for d in there)
        return total

    def clusters(self, where):
        before = collections.defaultdict(list)
        for value, readers in self.reads.items():
            for unit in readers:
                if self.maker[value] is not None:
                    before[unit].append(self.maker[value])
        depth, parent = {}, {u: u for u in self.units}

        def root(u):
            while parent[u] != u:
                u = parent[u]
            return u

        for u in self.units:
            depth[u] = max((depth[p] + (where[p] != where[u]) for p in before[u]), default=0)
        for u in self.units:
            for p in before[u]:
                if where[p] == where[u] and depth[p] == depth[u]:
                    a, b = sorted((root(p), root(u)))
                    parent[b] = a
        return {u: root(u) for u in self.units}

    def period(self, machine, where):
        load = collections.Counter()
        for u in self.units:
            load[where[u]] += self.cost[u][where[u]]
        for c in set(self.clusters(where).values()):
            load[where[c]] += machine.launch[where[c]]
        for value in self.reads:
            home, there = self.targets(value, where)
            for d in there:
                load[home, d] += machine.price(home, d, self.size[value])
        return max(load.values(), default=0)

    def latency(self, machine, where):
        of = self.clusters(where)
        ids = {c: i for i, c in enumerate(self._topological(of))}
        of = {u: ids[c] for u, c in of.items()}
        device = {of[u]: where[u] for u in self.units}
        time = {c: machine.launch[d] for c, d in device.items()}
        for u in self.units:
            time[of[u]] += self.cost[u][where[u]]
        # (cluster or None for the host) -> list of (value, target device, price, clusters that wait)
        sends, needs = collections.defaultdict(list), collections.Counter()
        after = collections.defaultdict(list)
        for value, readers in self.reads.items():
            maker = self.maker[value]
            source = None if maker is None else of[maker]
            home, there = self.targets(value, where)
            at = collections.OrderedDict((d, []) for d in [home, *there])
            for unit in readers:
                if of[unit] != source and of[unit] not in at[where[unit]]:
                    at[where[unit]].append(of[unit])
            for d, waiting in at.items():
                price = machine.price(home, d, self.size[value])
                if d != home or waiting:
                    sends[source].append((home, d, price, waiting))
                for c in waiting:
                    needs[c] += 1
                    if source is not None:
                        after[source].append((price, c))
        rank = {}
        for c in sorted(device, reverse=True):
            rank[c] = time[c] + max((price + rank[n] for price, n in after[c]), default=0)
        return self._run(device, time, rank, sends, needs)

    def _topological(self, of):
        """Clusters in an order that respects what they read; fails when there is none."""
        needs, follow = collections.Counter(), collections.defaultdict(set)
        for value, readers in self.reads.items():
            for unit in readers:
                maker = self.maker[value]
                if maker is not None and of[maker] != of[unit] and of[unit] not in follow[of[maker]]:
                    follow[of[maker]].add(of[unit])
                    needs[of[unit]] += 1
        all_of_them = sorted(set(of.values()))
        ready, order = [c for c in all_of_them if not needs[c]], []
        heapq.heapify(ready)
        while ready:
            c = heapq.heappop(ready)
            order.append(c)
            for n in follow[c]:
                needs[n] -= 1
                if not needs[n]:
                    heapq.heappush(ready, n)
        assert len(order) == len(all_of_them), "the clusters wait for each other in a circle"
        return order

    @staticmethod
    def _run(device, time, rank, sends, needs):
        channel, busy = collections.Counter(), set()
        ready, events, end = collections.defaultdict(list), [], 0

        def arrive(waiting):
            for c in waiting:
                needs[c] -= 1
                if not needs[c]:
                    heapq.heappush(ready[device[c]], (-rank[c], c))

        def issue(source, now):
            nonlocal end
            for home, d, price, waiting in sends[source]:
                if home == d:
                    arrive(waiting)
                    continue
                channel[home, d] = max(channel[home, d], now) + price
                end = max(end, channel[home, d]) if d == HOST else end
                heapq.heappush(events, (channel[home, d], 1, len(events), waiting))

        for c in device:
            if not needs[c]:
                heapq.heappush(ready[device[c]], (-rank[c], c))
        issue(None, 0)
        now, left = 0, len(device)
        while True:
            while events and events[0][0] == now:
                _, kind, _, what = heapq.heappop(events)
                if kind == 0:
                    busy.discard(device[what])
                    issue(what, now)
                else:
                    arrive(what)
            for d, queue in ready.items():
                if queue and d not in busy:
                    _, c = heapq.heappop(queue)
                    busy.add(d)
                    left -= 1
                    end = max(end, now + time[c])
                    heapq.heappush(events, (now + time[c], 0, c, c))
            if not events:
                break
            if events[0][0] > now:
                now = events[0][0]
        assert left == 0, "clusters that never became ready"
        return end


def sizes_of(path, feeds):
    """Bytes of every value, by running the model with all of them as outputs in onnxruntime."""
    import numpy as np
    import onnxruntime
    model = onnx.load(path)
    names = [o for node in model.graph.node for o in node.output if o]
    known = {o.name for o in model.graph.output}
    for name in names:
        if name not in known:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    sizes = {n: np.asarray(v).nbytes for n, v in zip(outputs, session.run(outputs, feeds))}
    sizes.update({n: np.asarray(v).nbytes for n, v in feeds.items()})
    return sizes


def has_bodies(model):
    return any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for n in model.graph.node for a in n.attribute)
