"""Threads of a Toro image, for gdb: of a machine that runs (`toro run --gdb`) and of a core (`toro run --core`).

    gdb -x toro.py IMAGE CORE
    (gdb) toro-threads          all threads, with their calls
    (gdb) toro-threads 3        thread 3 alone
    (gdb) toro-threads names    one line each

The image has symbols and lines, but no types: the kernel says in TORO_THREADS what is where in its tables, and where they are
(guest/kernel/src/sched/visible.rs). Stacks are followed by their frame pointers.
"""

import re
import struct

import gdb

CORES = 64
FRAMES = 32
STATES = {1: "ready", 2: "runs", 3: "waits"}
# What a switch leaves on the stack (guest/kernel/src/arch/x86_64/context.rs): MXCSR and x87, r15 to r12, rbx, then these.
SAVED_RBP, SAVED_RESUME = 48, 56


def read(address, count):
    return bytes(gdb.selected_inferior().read_memory(address, count))


def words(address, count):
    return struct.unpack("<%dQ" % count, read(address, 8 * count))


def symbol(name):
    try:  # in words, since an expression would be read in the language of where the processor is
        return int(re.search(" is at (0x[0-9a-f]+)", gdb.execute("info address " + name, to_string=True))[1], 16)
    except (gdb.error, TypeError):
        raise gdb.GdbError("no %s: load the image's symbols first, and at its base" % name)


def place(address):
    """The function at an address, and its line."""
    text = gdb.execute("info symbol 0x%x" % address, to_string=True).strip()
    name = text.split(" in section ")[0] if " in section " in text else "??"
    line = gdb.find_pc_line(address)
    where = " at %s:%d" % (line.symtab.filename, line.line) if line.symtab else ""
    return name + where


def frames(rbp):
    """The frames of a chain of frame pointers: where each is, and its return address."""
    for _ in range(FRAMES):
        if rbp == 0 or rbp % 8:
            return
        try:
            outer, back = words(rbp, 2)
        except gdb.MemoryError:
            return
        if back == 0:
            return
        yield rbp, back - 1
        if outer <= rbp and outer >> 20 == rbp >> 20:
            return  # of one stack, frames lie upwards
        rbp = outer


def processors():
    """Instruction and frame pointer of each processor."""
    chosen = gdb.selected_thread()
    found = []
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        frame = gdb.newest_frame()
        register = lambda name: int(frame.read_register(name)) & (1 << 64) - 1
        found.append((register("rip"), register("rbp")))
    if chosen is not None:
        chosen.switch()
    return found


class Thread:
    """A place of a core's table that is taken."""

    def __init__(self, core, address, state, layout):
        _version, _bytes, _state, stack_pointer, tag, stack = layout
        self.core, self.state = core, STATES.get(state, "is %d" % state)
        self.stack_pointer = words(address + stack_pointer, 1)[0]
        name, numbers = words(address + tag, 2)
        self.number, name_bytes = numbers >> 32, numbers & (1 << 32) - 1
        start, count = words(address + stack, 2)
        self.stack = range(start, start + count)
        self.name = read(name, name_bytes).decode(errors="replace") if name else ""

    def title(self):
        name = " '%s'" % self.name if self.name else ""
        return "thread %d%s on core %d %s" % (self.number, name, self.core, self.state)

    def calls(self):
        # A thread without work for its core waits on its own stack; and below an exception's stack lies its thread's.
        for rip, rbp in processors():
            chain = list(frames(rbp))
            if any(frame in self.stack for frame, _ in chain):
                return [rip] + [back for _, back in chain]
        rbp, resume = words(self.stack_pointer + SAVED_RBP, 2)
        return [resume] + [back for _, back in frames(rbp)]


def threads():
    all_of_it = words(symbol("TORO_THREADS"), 6 + 2 * CORES)
    layout, tables = all_of_it[:6], all_of_it[6:]
    if layout[0] == 0:
        raise gdb.GdbError("there is no thread yet")
    if layout[0] != 1:
        raise gdb.GdbError("the image is of another version: its layout is %d, and this script knows 1" % layout[0])
    for core in range(CORES):
        address, places = tables[2 * core], tables[2 * core + 1]
        for number in range(places):
            at = address + number * layout[1]
            state = read(at + layout[2], 1)[0]
            if state:
                yield Thread(core, at, state, layout)


class ToroThreads(gdb.Command):
    """Lists the threads of a Toro image and their calls: toro-threads [NUMBER | names]"""

    def __init__(self):
        super().__init__("toro-threads", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        for thread in sorted(threads(), key=lambda thread: thread.number):
            if wanted not in ("", "names") and int(wanted) != thread.number:
                continue
            print(thread.title())
            if wanted != "names":
                for number, address in enumerate(thread.calls()):
                    print("  #%d 0x%x %s" % (number, address, place(address)))


ToroThreads()
