"""Event files of every kind, written for tests from the formats' descriptions: rows are x, y, p, t (microseconds)."""

import struct

import numpy as np

SIZE = (64, 48)


def rows(n=300, size=SIZE, span=200_000, start=5_000, seed=1):
    """int64 [n, 4] of x, y, p, t; the first time is `start`."""
    r = np.random.default_rng(seed)
    t = np.sort(r.integers(0, span, n)) + start
    t[0] = start
    return np.stack([r.integers(0, size[0], n), r.integers(0, size[1], n), r.integers(0, 2, n), t], 1)


def evt_header(kind, size=SIZE, more="", end=True):
    name = {"EVT2": "2.0", "EVT21": "2.1", "EVT3": "3.0"}[kind]
    text = f"% evt {name}\n% format {kind};height={size[1]};width={size[0]}{more}\n% geometry {size[0]}x{size[1]}\n"
    return (text + ("% end\n" if end else "")).encode()


def evt2(table, size=SIZE, header=None):
    words, high = [], None
    for x, y, p, t in np.asarray(table).tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high & 0xFFFFFFF)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return (evt_header("EVT2", size) if header is None else header) + np.array(words, "<u4").tobytes()


def evt21(table, size=SIZE, legacy=False, said=True):
    """Events of one time, row, polarity and of one block of 32 pixels share a word."""
    words, high, held = [], None, {}

    def flush():
        for (t, x, y, p), mask in held.items():
            words.append((p << 28 | (t & 63) << 22 | x << 11 | y) << 32 | mask)
        held.clear()

    for x, y, p, t in np.asarray(table).tolist():
        if held and next(iter(held))[0] != t:
            flush()
        if t >> 6 != high:
            high = t >> 6
            words.append((8 << 28 | high & 0xFFFFFFF) << 32)
        key = t, x // 32 * 32, y, p
        held[key] = held.get(key, 0) | 1 << x % 32
    flush()
    data = np.array(words, "<u8")
    data = data << np.uint64(32) | data >> np.uint64(32) if legacy else data
    more = (";endianness=" + ("legacy" if legacy else "little")) if said else ""
    return evt_header("EVT21", size, more) + data.astype("<u8").tobytes()


def evt3_words(table):
    """Single events; a row's word, and times, only where they change."""
    words, high, low, row = [], None, None, None
    for x, y, p, t in np.asarray(table).tolist():
        if t >> 12 & 0xFFF != high:
            high, low = t >> 12 & 0xFFF, None
            words.append(8 << 12 | high)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        words.append(2 << 12 | p << 11 | x)
    return words


def evt3(table, size=SIZE, header=None):
    return (evt_header("EVT3", size) if header is None else header) + np.array(evt3_words(table), "<u2").tobytes()


def dat(table, size=SIZE, version=2):
    text = f"% Data file containing CD events.\n% Version {version}\n% Width {size[0]}\n% Height {size[1]}\n"
    x, y, p, t = np.asarray(table).T
    address = x | y << 14 | p << 28 if version == 2 else x | y << 9 | p << 17
    return text.encode() + bytes([12, 8]) + np.stack([t & 0xFFFFFFFF, address], 1).astype("<u4").tobytes()


def aedat2(table, chip="DVS128", version=2):
    """x and y of the table count from the top left; the sensor is the chip's."""
    x, y, p, t = np.asarray(table).T
    if chip == "DVS128":
        address = (1 - p) | (127 - x) << 1 | (127 - y) << 8
    else:
        width, height = {"DAVIS240": (240, 180), "DAVIS346": (346, 260)}[chip]
        address = p << 11 | (width - 1 - x) << 12 | (height - 1 - y) << 22
    name = {"DVS128": "ch.unizh.ini.jaer.chip.retina.DVS128", "DAVIS240": "eu.seebetter.ini.chips.davis.DAVIS240C"}
    text = f"#!AER-DAT{version}.0\r\n# This is a raw AE data file\r\n# AEChip: {name.get(chip, f'x.davis.{chip}')}\r\n"
    kind = np.dtype([("a", ">u4" if version == 2 else ">u2"), ("t", ">u4")])
    out = np.empty(len(x), kind)
    out["a"], out["t"] = address, t & 0xFFFFFFFF
    return text.encode() + out.tobytes()


def aedat3(table, size=(128, 128)):
    x, y, p, t = np.asarray(table).T
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], 1).astype("<u4")
    name = {(128, 128): "DVS128", (240, 180): "DAVIS240C"}[size]
    text = f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {name}\r\n#!END-HEADER\r\n"
    return text.encode() + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(x), len(x), len(x)) + words.tobytes()


def aedat4(table, size=SIZE, pack=None):
    """One packet; `pack` None: not packed, else a function of bytes (LZ4)."""
    x, y, p, t = np.asarray(table).T
    event = np.zeros(len(x), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("", "V3")])
    event["t"], event["x"], event["y"], event["p"] = t, x, y, p
    vector = struct.pack("<I", len(x)) + event.tobytes()
    # root: where the table is, its name; the table: back to its fields, 4 on to the vector
    packet = struct.pack("<I4sHHHHiI", 16, b"EVTS", 6, 8, 4, 0, 8, 4) + vector
    packet = struct.pack("<I", len(packet)) + packet
    xml = (
        '<dv version="2.0"><node name="outInfo" path="/"><node name="0" path="/0/">'
        '<attr key="typeIdentifier" type="string">EVTS</attr><node name="info" path="/0/info/">'
        f'<attr key="sizeX" type="int">{size[0]}</attr><attr key="sizeY" type="int">{size[1]}</attr>'
        "</node></node></node></dv>"
    ).encode()
    # the table: its fields (compression 4, position 8, text 16 bytes on), a gap, and the text
    head = struct.pack("<I4sHHHHH6x", 24, b"IOHE", 10, 20, 4, 8, 16)
    head += struct.pack("<iiqI", 16, 0 if pack is None else 1, -1, 4) + struct.pack("<I", len(xml)) + xml + b"\0"
    body = packet if pack is None else pack(packet)
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head + struct.pack("<ii", 0, len(body)) + body


def lz4_plain(data):
    """An LZ4 frame: one block of nothing but literals, then one that is not packed."""
    half = len(data) // 2
    literal = bytes([0xF0]) + bytes([255] * ((half - 15) // 255) + [(half - 15) % 255]) + data[:half]
    blocks = struct.pack("<I", len(literal)) + literal + struct.pack("<I", len(data) - half | 1 << 31) + data[half:]
    return b"\x04\x22\x4d\x18" + bytes([0x60, 0x70, 0]) + blocks + bytes(4)


def es(table, size=SIZE):
    """y of the table counts from the top, as everywhere here."""
    out, before = bytearray(b"Event Stream\2\0\0\1" + struct.pack("<HH", *size)), 0
    for x, y, p, t in np.asarray(table).tolist():
        step, before = t - before, t
        out += b"\xff" * (step // 127) + bytes([(step % 127) << 1 | p]) + struct.pack("<HH", x, size[1] - 1 - y)
    return bytes(out)


def nmnist(table):
    x, y, p, t = np.asarray(table).T
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype(np.uint8).tobytes()


def structured(table, names=("x", "y", "p", "t")):
    out = np.empty(len(table), [(name, k) for name, k in zip(names, ("<u2", "<u2", "?", "<i8"))])
    for name, column in zip(names, np.asarray(table).T):
        out[name] = column
    return out


def text(table, order="xypt", head=True, by=","):
    columns = dict(zip("xypt", np.asarray(table).T))
    lines = [by.join(order)] if head else []
    lines += [by.join(map(str, row)) for row in np.stack([columns[k] for k in order], 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def hdf5(path, table, layout="columns"):
    import h5py

    x, y, p, t = np.asarray(table).T
    with h5py.File(path, "w") as f:
        if layout == "columns":  # DSEC's
            for name, column in (("x", x), ("y", y), ("p", p), ("t", t - t[0])):
                f[f"events/{name}"] = column.astype(np.uint32 if name == "t" else np.uint16)
            f["ms_to_idx"], f["t_offset"] = np.arange(3), int(t[0])
        elif layout == "prophesee":
            out = np.empty(len(x), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
            out["x"], out["y"], out["p"], out["t"] = x, y, p, t
            f["CD/events"] = out
            f["CD"].attrs["geometry"] = f"{SIZE[0]}x{SIZE[1]}"
        else:  # MVSEC's
            f["davis/left/events"] = np.stack([x, y, t / 1e6, 2 * p - 1], 1)


def mat(path, table, one=False):
    from scipy.io import savemat

    x, y, p, t = np.asarray(table).T
    savemat(path, {"TD": {"x": x + one, "y": y + one, "p": p + one, "ts": t}})


def torch_file(path, table):
    import torch

    torch.save({k: torch.from_numpy(c.copy()) for k, c in zip("xypt", np.asarray(table).T)}, path)


def write(path, table):
    """A file of the format that the ending says; False where that needs a package that is not here."""
    by_bytes = {
        ".aedat": aedat2,
        ".aedat4": aedat4,
        ".raw": evt3,
        ".dat": dat,
        ".es": es,
        ".bin": nmnist,
        ".csv": text,
        ".txt": lambda table: text(table, by=" "),
    }
    ending = path.suffix
    if ending in by_bytes:
        path.write_bytes(by_bytes[ending](table))
    elif ending == ".npy":
        np.save(path, structured(table))
    elif ending == ".npz":
        np.savez(path, **dict(zip("xypt", np.asarray(table).T)))
    elif ending in (".h5", ".hdf5"):
        hdf5(path, table)
    elif ending == ".mat":
        mat(path, table)
    elif ending == ".pt":
        torch_file(path, table)
    elif ending in (".bag", ".db3", ".mcap"):
        try:
            import rosbags  # noqa: F401
        except ImportError:
            return False
        bag(path, table)
    else:
        raise ValueError(ending)
    return True


def bag(path, table, size=SIZE):
    """A bag with one topic of two EventArray messages."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    ros1 = path.suffix == ".bag"
    store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    event = "uint16 x\nuint16 y\ntime ts\nbool polarity\n"
    if not ros1:
        event = event.replace("time ts", "builtin_interfaces/Time ts")
    store.register(get_types_from_msg(event, "dvs_msgs/msg/Event"))
    array = "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n"
    store.register(get_types_from_msg(array, "dvs_msgs/msg/EventArray"))
    kinds, name = store.types, "dvs_msgs/msg/EventArray"
    time, header = kinds["builtin_interfaces/msg/Time"], kinds["std_msgs/msg/Header"]
    if ros1:
        from rosbags.rosbag1 import Writer

        writer = Writer(path)
    else:
        from rosbags.rosbag2 import StoragePlugin, Writer

        plugin = StoragePlugin.MCAP if path.suffix == ".mcap" else StoragePlugin.SQLITE3
        writer = Writer(path.with_suffix(""), version=9, storage_plugin=plugin)
    with writer:
        topic = writer.add_connection("/dvs/events", name, typestore=store)
        for part in np.array_split(np.asarray(table), 2):
            events = [
                kinds["dvs_msgs/msg/Event"](x, y, time(t // 1_000_000, t % 1_000_000 * 1000), bool(p))
                for x, y, p, t in part.tolist()
            ]
            head = {"stamp": time(0, 0), "frame_id": "cam"} | ({"seq": 0} if ros1 else {})
            message = kinds[name](header(**head), size[1], size[0], events)
            data = store.serialize_ros1(message, name) if ros1 else store.serialize_cdr(message, name)
            writer.write(topic, int(part[0, 3]) * 1000, bytes(data))
    if not ros1:
        found = next(p for p in path.with_suffix("").iterdir() if p.suffix == path.suffix)
        path.write_bytes(found.read_bytes())
