//! Which system calls are in a program: its code is decoded from end to end, and from each `syscall` instruction the number in
//! `rax` is followed backwards, along jumps and into callers, to the constants that it can be.
//!
//! What cannot be followed is counted, not guessed: a number from memory, as of Go's and the C library's function that makes
//! any call; and a place that nothing in sight leads to. Who calls a function through a pointer is not in sight.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};
use std::collections::{BTreeSet, HashSet};
use toro_elf::Executable;

/// The longest instruction.
const INSTRUCTION_BYTES_MAX: u64 = 15;
/// Steps from one place, after which it is given up.
const STEPS_MAX: usize = 20_000;
/// Steps in all, after which every place is: a file made to be followed for ever is not.
const ALL_STEPS_MAX: usize = 5_000_000;

/// The system calls of a program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// Their numbers.
    pub numbers: BTreeSet<u64>,
    /// How many `syscall` instructions there are.
    pub places: usize,
    /// How many of them get a number that is not known here, perhaps beside some that are.
    pub undecided: usize,
    /// How many instructions make calls of a 32-bit program (`int 0x80`).
    pub old_places: usize,
}

/// Finds them.
pub(crate) fn scan(program: &Executable<'_>) -> Calls {
    let text = Text::read(program);
    let mut calls = Calls { places: text.places.len(), old_places: text.old_places, ..Calls::default() };
    let mut factory = InstructionInfoFactory::new();
    let mut steps_left = ALL_STEPS_MAX;
    for place in &text.places {
        let is_decided = text.follow(*place, &mut factory, &mut steps_left, &mut calls.numbers);
        calls.undecided += usize::from(!is_decided);
    }
    calls
}

/// An executable segment, and where in it instructions begin.
struct Piece<'a> {
    address: u64,
    data: &'a [u8],
    /// A bit for each byte.
    starts: Vec<u64>,
}

impl Piece<'_> {
    fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset < self.data.len() as u64)
    }

    fn is_start(&self, address: u64) -> bool {
        let offset = (address - self.address) as usize;
        self.starts[offset / 64] & 1 << (offset % 64) != 0
    }

    /// Notes where an instruction begins, and that none begins within it.
    fn mark(&mut self, instruction: &Instruction) {
        let start = (instruction.ip() - self.address) as usize;
        self.starts[start / 64] |= 1 << (start % 64);
        for within in start + 1..start + instruction.len() {
            self.starts[within / 64] &= !(1 << (within % 64));
        }
    }

    fn decode(&self, address: u64) -> Instruction {
        let bytes = &self.data[(address - self.address) as usize..];
        Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode()
    }
}

/// A jump or a call to a place that is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    to: u64,
    from: u64,
    is_call: bool,
}

/// All code of a program.
struct Text<'a> {
    pieces: Vec<Piece<'a>>,
    /// In order.
    edges: Vec<Edge>,
    places: BTreeSet<u64>,
    old_places: usize,
    entry: u64,
}

/// A value looked for: what `register` holds before the instruction at `at`, plus `added`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Wanted {
    at: u64,
    register: Register,
    added: u64,
}

/// What an instruction does to a value looked for.
enum Effect {
    Constant(u64),
    From(Register, u64),
    /// Either of two registers.
    Either(Register, Register),
    None,
    Unknown,
}

impl<'a> Text<'a> {
    fn read(program: &Executable<'a>) -> Self {
        let mut text = Text {
            pieces: Vec::new(),
            edges: Vec::new(),
            places: BTreeSet::new(),
            old_places: 0,
            entry: program.entry,
        };
        for segment in program.segments().filter(|segment| segment.access.execute) {
            let (address, data) = (segment.address, segment.data);
            text.pieces.push(Piece { address, data, starts: vec![0; data.len().div_ceil(64)] });
            text.decode_from(text.pieces.len() - 1, address);
        }
        // What was taken for code may have been data, and hidden the beginning of a function: it is called from somewhere.
        let mut next = 0;
        while let Some(edge) = text.edges.get(next).copied() {
            next += 1;
            let piece = text.pieces.iter().position(|piece| piece.contains(edge.to));
            if let Some(number) = piece
                && !text.pieces[number].is_start(edge.to)
            {
                text.decode_from(number, edge.to);
            }
        }
        text.edges.sort_unstable();
        text.edges.dedup();
        text
    }

    /// Decodes a piece from `address` on, up to where it has been decoded before.
    fn decode_from(&mut self, number: usize, address: u64) {
        let piece = &self.pieces[number];
        let mut decoder =
            Decoder::with_ip(64, &piece.data[(address - piece.address) as usize..], address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                continue; // data, or padding; the decoder goes on behind it
            }
            let piece = &mut self.pieces[number];
            if piece.is_start(instruction.ip()) {
                return;
            }
            piece.mark(&instruction);
            self.note(&instruction);
        }
    }

    fn note(&mut self, instruction: &Instruction) {
        let from = instruction.ip();
        match instruction.flow_control() {
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
                if instruction.op0_kind() == OpKind::NearBranch64 =>
            {
                self.edges.push(Edge { to: instruction.near_branch64(), from, is_call: false });
            }
            FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                self.edges.push(Edge { to: instruction.near_branch64(), from, is_call: true });
            }
            _ => {}
        }
        match instruction.code() {
            Code::Syscall => self.places.extend([from]),
            Code::Int_imm8 if instruction.immediate8() == 0x80 => self.old_places += 1,
            _ => {}
        }
    }

    fn edges_to(&self, to: u64) -> &[Edge] {
        let start = self.edges.partition_point(|edge| edge.to < to);
        let count = self.edges[start..].partition_point(|edge| edge.to == to);
        &self.edges[start..start + count]
    }

    /// The instruction before the one at `address`, if it goes on there. What only fills up the space behind one that does
    /// not is passed over.
    fn before(&self, address: u64) -> Option<Instruction> {
        let piece = self.pieces.iter().find(|piece| piece.contains(address))?;
        let mut end = address;
        loop {
            let lowest = end.saturating_sub(INSTRUCTION_BYTES_MAX).max(piece.address);
            let starts = (lowest..end).rev().filter(|address| piece.is_start(*address));
            let found = starts.map(|start| piece.decode(start)).find(|instruction| instruction.next_ip() == end)?;
            if !goes_on(&found) {
                return None;
            }
            let is_filling = found.mnemonic() == Mnemonic::Nop && self.edges_to(found.ip()).is_empty();
            if !is_filling {
                return Some(found);
            }
            end = found.ip();
        }
    }

    /// What `instruction` does to the value, when control goes from it to where the value is wanted: `is_next` when that is the
    /// next instruction, and not where it jumps to or what it calls.
    fn effect(
        &self,
        instruction: &Instruction,
        wanted: Wanted,
        is_next: bool,
        factory: &mut InstructionInfoFactory,
    ) -> Effect {
        let register = wanted.register;
        let full = |operand: u32| instruction.op_register(operand).full_register();
        if instruction.mnemonic() == Mnemonic::Syscall {
            let is_kept = !matches!(register, Register::RAX | Register::RCX | Register::R11);
            return if is_kept { Effect::None } else { Effect::Unknown };
        }
        match instruction.flow_control() {
            FlowControl::Call | FlowControl::IndirectCall if is_next => {
                // By the calling convention these keep their values.
                return match register {
                    Register::RBX | Register::RBP | Register::R12 | Register::R13 | Register::R14 | Register::R15 => {
                        Effect::None
                    }
                    _ => Effect::Unknown,
                };
            }
            FlowControl::Call | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                return Effect::None;
            }
            _ => {}
        }
        let writes = factory.info(instruction).used_registers().iter().any(|used| {
            let is_write =
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            is_write && used.register().full_register() == register
        });
        if !writes {
            return Effect::None;
        }
        if instruction.op0_kind() != OpKind::Register || full(0) != register {
            return Effect::Unknown;
        }
        // A part of a register leaves the rest as it was; hand-written code clears that before.
        if instruction.op0_register().size() < 4 {
            let is_low = matches!(instruction.op0_register(), Register::AL | Register::AX);
            let is_set = is_low && instruction.mnemonic() == Mnemonic::Mov && instruction.op1_kind() != OpKind::Memory;
            return match is_set && instruction.op1_kind() != OpKind::Register {
                true => Effect::From(register, instruction.immediate(1)),
                false => Effect::Unknown,
            };
        }
        let has_register = instruction.op1_kind() == OpKind::Register;
        match instruction.mnemonic() {
            Mnemonic::Mov if has_register && instruction.op1_register().is_gpr() => Effect::From(full(1), 0),
            Mnemonic::Movsxd if has_register => Effect::From(full(1), 0),
            Mnemonic::Mov if is_immediate(instruction) => Effect::Constant(instruction.immediate(1)),
            Mnemonic::Xor | Mnemonic::Sub if has_register && full(1) == register => Effect::Constant(0),
            Mnemonic::Add if is_immediate(instruction) => Effect::From(register, instruction.immediate(1)),
            Mnemonic::Sub if is_immediate(instruction) => {
                Effect::From(register, instruction.immediate(1).wrapping_neg())
            }
            Mnemonic::Lea if instruction.memory_index() == Register::None && instruction.memory_base().is_gpr() => {
                Effect::From(instruction.memory_base().full_register(), instruction.memory_displacement64())
            }
            Mnemonic::Pop => match self.before(instruction.ip()) {
                Some(push) if push.mnemonic() == Mnemonic::Push && push.op0_kind() == OpKind::Register => {
                    Effect::From(push.op0_register().full_register(), 0)
                }
                Some(push) if push.mnemonic() == Mnemonic::Push && push.op0_kind() != OpKind::Memory => {
                    Effect::Constant(push.immediate(0))
                }
                _ => Effect::Unknown,
            },
            mnemonic if is_conditional_move(mnemonic) && has_register => Effect::Either(register, full(1)),
            _ => Effect::Unknown,
        }
    }

    fn at(&self, address: u64) -> Option<Instruction> {
        self.pieces.iter().find(|piece| piece.contains(address)).map(|piece| piece.decode(address))
    }

    /// Adds the numbers that can be in `rax` at `place`; false when there may be others.
    fn follow(
        &self,
        place: u64,
        factory: &mut InstructionInfoFactory,
        steps_left: &mut usize,
        numbers: &mut BTreeSet<u64>,
    ) -> bool {
        let mut is_decided = true;
        let first = Wanted { at: place, register: Register::RAX, added: 0 };
        let mut seen = HashSet::from([first]);
        let mut left = vec![first];
        while let Some(wanted) = left.pop() {
            if seen.len() > STEPS_MAX || *steps_left == 0 {
                return false;
            }
            *steps_left -= 1;
            let edges = self.edges_to(wanted.at);
            let is_function = wanted.at == self.entry || edges.iter().any(|edge| edge.is_call);
            let before = if is_function { None } else { self.before(wanted.at) };
            if before.is_none() && edges.is_empty() {
                is_decided = false;
            }
            let jumps = edges.iter().filter_map(|edge| self.at(edge.from)).map(|instruction| (instruction, false));
            for (instruction, is_next) in before.map(|instruction| (instruction, true)).into_iter().chain(jumps) {
                let next = |register, added| Wanted { at: instruction.ip(), register, added };
                let more = match self.effect(&instruction, wanted, is_next, factory) {
                    Effect::Constant(number) => {
                        // A number has 32 bits: Linux reads no more.
                        numbers.insert(number.wrapping_add(wanted.added) & 0xffff_ffff);
                        continue;
                    }
                    Effect::Unknown => {
                        is_decided = false;
                        continue;
                    }
                    Effect::None => [Some(next(wanted.register, wanted.added)), None],
                    Effect::From(register, added) => [Some(next(register, wanted.added.wrapping_add(added))), None],
                    Effect::Either(one, other) => [Some(next(one, wanted.added)), Some(next(other, wanted.added))],
                };
                left.extend(more.into_iter().flatten().filter(|wanted| seen.insert(*wanted)));
            }
        }
        is_decided
    }
}

/// Whether control can go from an instruction to the next.
fn goes_on(instruction: &Instruction) -> bool {
    let ends = matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return | FlowControl::Exception
    );
    !ends && !matches!(instruction.mnemonic(), Mnemonic::Hlt | Mnemonic::Int3)
}

fn is_immediate(instruction: &Instruction) -> bool {
    matches!(
        instruction.op1_kind(),
        OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate32to64
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
    )
}

fn is_conditional_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{
        Cmova, Cmovae, Cmovb, Cmovbe, Cmove, Cmovg, Cmovge, Cmovl, Cmovle, Cmovne, Cmovno, Cmovnp, Cmovns, Cmovo,
        Cmovp, Cmovs,
    };
    [
        Cmova, Cmovae, Cmovb, Cmovbe, Cmove, Cmovg, Cmovge, Cmovl, Cmovle, Cmovne, Cmovno, Cmovnp, Cmovns, Cmovo,
        Cmovp, Cmovs,
    ]
    .contains(&mnemonic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What is found in a program of this assembly.
    fn scanned(source: &str) -> Calls {
        let folder = tempfile::tempdir().unwrap();
        let (file, program) = (folder.path().join("main.s"), folder.path().join("program"));
        std::fs::write(&file, format!(".globl _start\n_start:\n{source}\n")).unwrap();
        let status = Command::new("gcc").args(["-static", "-nostdlib", "-o"]).args([&program, &file]).status().unwrap();
        assert!(status.success());
        let bytes = std::fs::read(program).unwrap();
        scan(&Executable::parse(&bytes).unwrap())
    }

    fn numbers(source: &str) -> Vec<u64> {
        let calls = scanned(source);
        assert_eq!((calls.places, calls.undecided), (1, 0), "{calls:?}");
        calls.numbers.into_iter().collect()
    }

    #[test]
    fn a_number_is_followed_to_its_constant() {
        assert_eq!(numbers("mov $39, %eax; mov $1, %edi; syscall; hlt"), [39]);
        assert_eq!(numbers("xor %eax, %eax; syscall; hlt"), [0]);
        assert_eq!(numbers("xor %eax, %eax; mov $57, %al; syscall; hlt"), [57]);
        assert_eq!(numbers("push $102; pop %rax; syscall; hlt"), [102]);
        assert_eq!(numbers("mov $20, %ebx; call f; mov %ebx, %eax; syscall; hlt; f: ret"), [20]);
        assert_eq!(numbers("mov $200, %ecx; lea -2(%rcx), %eax; syscall; hlt"), [198]);
        assert_eq!(numbers("mov $202, %r9; 1: mov %r9, %rax; syscall; jmp 1b"), [202], "a call keeps r9");
    }

    #[test]
    fn all_ways_to_a_place_are_followed() {
        assert_eq!(numbers("test %edi, %edi; je 1f; mov $1, %eax; jmp 2f; 1: mov $2, %eax; 2: syscall; hlt"), [1, 2]);
        assert_eq!(numbers("mov $5, %eax; mov $6, %ecx; test %edx, %edx; cmovne %ecx, %eax; syscall; hlt"), [5, 6]);
        assert_eq!(
            numbers("mov $60, %edi; call f; mov $61, %edi; call f; hlt; f: mov %rdi, %rax; syscall; ret"),
            [60, 61]
        );
        let jumps = "mov $3, %edi; call f; hlt; f: mov %edi, %eax; jmp g; .zero 7; g: syscall; ret";
        assert_eq!(numbers(jumps), [3], "bytes that nobody executes lead nowhere");
    }

    #[test]
    fn any_bytes_are_scanned_in_the_end() {
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            [0x0f, 0x05, 0xeb, 0xfe, 0xe8, 0x89, 0xc0, 0x74][(state >> 33) as usize % 8] ^ ((state >> 40) as u8 & 1)
        };
        for length in [1, 100, 30_000] {
            let mut file = b"\x7fELF\x02\x01\x01".to_vec();
            file.resize(16, 0);
            file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
            [0x40_1000_u64, 64, 0].iter().for_each(|quad| file.extend(quad.to_le_bytes()));
            file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
            [0x1000, 0x40_1000, 0x40_1000, length, length, 0x1000_u64]
                .iter()
                .for_each(|quad| file.extend(quad.to_le_bytes()));
            file.resize(0x1000, 0);
            file.extend((0..length).map(|_| byte()));
            let calls = scan(&Executable::parse(&file).unwrap());
            assert!(calls.undecided <= calls.places);
        }
    }

    #[test]
    fn what_cannot_be_known_is_counted() {
        for source in [
            "mov (%rsp), %rax; syscall; hlt",
            "mov $1, %eax; call f; syscall; hlt; f: ret",
            "mov $1, %eax; syscall; syscall; hlt",
            "mov $7, %eax; shl $2, %eax; syscall; hlt",
            "syscall; hlt",
            "jmp *%rdi; f: syscall; hlt",
        ] {
            assert_eq!(scanned(source).undecided, 1, "{source}");
        }
        let both = scanned("test %edi, %edi; je 1f; mov $1, %eax; jmp 2f; 1: mov (%rsp), %eax; 2: syscall; hlt");
        assert_eq!((both.undecided, both.numbers), (1, BTreeSet::from([1])));
        let old = scanned("mov $1, %eax; int $0x80; hlt");
        assert_eq!((old.old_places, old.places, old.numbers.len()), (1, 0, 0));
    }
}
