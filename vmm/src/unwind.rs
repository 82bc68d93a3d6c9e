//! A program's calls, by the tables that its ELF has for exceptions (`.eh_frame`) and what the guest sent of its stack. Compilers
//! write them for every function, while frame pointers are left out.

use addr2line::gimli::{
    BaseAddresses, CfaRule, EhFrame, LittleEndian, Register, RegisterRule, UnwindContext, UnwindSection, X86_64,
};
use object::{Object, ObjectSection};
use std::path::Path;

const CALLS_MAX: usize = 64;
/// Numbers of the general registers and the return address, in DWARF's order.
const REGISTERS: usize = 17;
const RBP: usize = 6;
const RSP: usize = 7;
const RETURN: usize = 16;

/// Part of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    at: u64,
    bytes: Vec<u8>,
}

impl Stack {
    /// Takes in a piece; one that does not follow the others begins anew.
    pub(crate) fn add(&mut self, at: u64, bytes: &[u8]) {
        const BYTES_MAX: usize = 1 << 20;
        if at != self.at.wrapping_add(self.bytes.len() as u64) || self.bytes.len() > BYTES_MAX {
            *self = Stack { at, bytes: Vec::new() };
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.at)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }
}

/// Where a function was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) address: u64,
    /// By a call, which is before this address; else at this very instruction.
    pub(crate) is_return: bool,
}

impl Left {
    /// An address inside the instruction, as the ELF has it.
    pub(crate) fn inside(self, base: u64) -> u64 {
        self.address.wrapping_sub(base).wrapping_sub(u64::from(self.is_return))
    }
}

/// The instruction and the return addresses above it, innermost first. `registers` are in the order of a report.
pub(crate) fn calls(elf: &Path, base: u64, registers: &[u64; 18], stack: &Stack) -> Vec<Left> {
    let bytes = std::fs::read(elf).unwrap_or_default();
    let Ok(file) = object::File::parse(&*bytes) else { return Vec::new() };
    let section = |name| {
        let section = file.section_by_name(name)?;
        Some((section.address(), section.data().ok()?))
    };
    let (frames_at, frames) = section(".eh_frame").unwrap_or_default();
    let text_at = section(".text").map_or(0, |(at, _)| at);
    let eh_frame = EhFrame::new(frames, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(frames_at).set_text(text_at);
    let mut context = UnwindContext::new();

    let [rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip, _] = *registers;
    let mut now = [rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip];
    let mut left = Left { address: rip, is_return: false };
    let mut calls = vec![left];
    while calls.len() < CALLS_MAX {
        if left.is_return && is_signal_return(&file, left.address.wrapping_sub(base)) {
            let Some(next) = interrupted(&now, stack) else { break };
            left = Left { address: next[RETURN], is_return: false };
            calls.push(left);
            now = next;
            continue;
        }
        let inside = left.inside(base);
        let row = eh_frame.unwind_info_for_address(&bases, &mut context, inside, EhFrame::cie_from_offset);
        let next = match row {
            Ok(row) => {
                let cfa = match row.cfa() {
                    CfaRule::RegisterAndOffset { register, offset } => {
                        now.get(usize::from(register.0)).map(|value| value.wrapping_add_signed(*offset))
                    }
                    CfaRule::Expression(_) => None,
                };
                cfa.and_then(|cfa| outer(&now, cfa, stack, |register| row.register(register)))
            }
            // A jump to nowhere was a call, as a rule; other code without tables has frame pointers, if anything.
            Err(_) if !left.is_return && !is_in_text(&file, inside) => {
                outer(&now, now[RSP].wrapping_add(8), stack, |_| None::<RegisterRule<usize>>)
            }
            Err(_) => by_frame_pointer(&now, stack),
        };
        let Some(next) = next.filter(|next| next[RETURN] != 0 && next[RSP] > now[RSP]) else { break };
        left = Left { address: next[RETURN], is_return: true };
        calls.push(left);
        now = next;
    }
    calls
}

/// Whether the code there is what a handler of a signal returns to: a call of `rt_sigreturn` and nothing else.
fn is_signal_return(file: &object::File<'_>, address: u64) -> bool {
    const CODES: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05], &[0xb8, 15, 0, 0, 0, 0x0f, 0x05]];
    let is = |section: &object::Section<'_, '_>, code: &[u8]| {
        section.data_range(address, code.len() as u64).is_ok_and(|found| found == Some(code))
    };
    file.sections().any(|section| CODES.iter().any(|code| is(&section, code)))
}

/// The registers that a signal interrupted, by the frame (`struct ucontext`) that its handler leaves on the stack.
fn interrupted(now: &[u64; REGISTERS], stack: &Stack) -> Option<[u64; REGISTERS]> {
    const CONTEXT: u64 = 40;
    const R8: usize = 8;
    // After r8 to r15, in the order of a `struct sigcontext`: rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    const ORDER: [usize; 9] = [5, 4, RBP, 3, 1, 0, 2, RSP, RETURN];
    let mut next = *now;
    for (place, register) in (R8..R8 + 8).chain(ORDER).enumerate() {
        next[register] = stack.word(now[RSP].wrapping_add(CONTEXT + 8 * place as u64))?;
    }
    Some(next)
}

fn is_in_text(file: &object::File<'_>, address: u64) -> bool {
    file.sections().any(|section| {
        section.kind() == object::SectionKind::Text && address.wrapping_sub(section.address()) < section.size()
    })
}

/// The caller's registers; without a rule a register keeps its value, and the return address lies below the frame.
fn outer<T: addr2line::gimli::ReaderOffset>(
    now: &[u64; REGISTERS],
    cfa: u64,
    stack: &Stack,
    rule: impl Fn(Register) -> Option<RegisterRule<T>>,
) -> Option<[u64; REGISTERS]> {
    let mut next = *now;
    next[RSP] = cfa;
    for (number, value) in next.iter_mut().enumerate() {
        match rule(Register(number as u16)) {
            Some(RegisterRule::Offset(offset)) => *value = stack.word(cfa.wrapping_add_signed(offset))?,
            Some(RegisterRule::ValOffset(offset)) => *value = cfa.wrapping_add_signed(offset),
            Some(RegisterRule::Undefined) if Register(number as u16) == X86_64::RA => return None, // the outermost
            None if number == RETURN => *value = stack.word(cfa.wrapping_sub(8))?,
            _ => {}
        }
    }
    Some(next)
}

fn by_frame_pointer(now: &[u64; REGISTERS], stack: &Stack) -> Option<[u64; REGISTERS]> {
    let frame = now[RBP];
    let mut next = *now;
    next[RBP] = stack.word(frame)?;
    next[RETURN] = stack.word(frame.wrapping_add(8))?;
    next[RSP] = frame.wrapping_add(16);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_stack_are_put_together() {
        let mut stack = Stack::default();
        stack.add(0x1000, &[1, 0, 0, 0]);
        stack.add(0x1004, &[0; 8]);
        assert_eq!((stack.word(0x1000), stack.word(0x1004), stack.word(0x1005)), (Some(1), Some(0), None));
        stack.add(0x5000, &7_u64.to_le_bytes());
        assert_eq!((stack.word(0x1000), stack.word(0x5000), stack.word(u64::MAX)), (None, Some(7), None));
    }

    #[test]
    fn code_without_tables_has_frame_pointers() {
        let mut stack = Stack::default();
        for (at, value) in [0x1010_u64, 0x4444, 0, 0x5555].iter().enumerate() {
            stack.add(0x1000 + 8 * at as u64, &value.to_le_bytes());
        }
        let mut registers = [0; 18];
        (registers[6], registers[7], registers[16]) = (0x1000, 0xff0, 0x3333);
        // This test program has no code there.
        let elf = std::env::current_exe().unwrap();
        let found = calls(&elf, 0, &registers, &stack);
        assert_eq!(found[0], Left { address: 0x3333, is_return: false });
        assert!(calls(Path::new("/nonexistent"), 0, &registers, &stack).is_empty());
    }
}
