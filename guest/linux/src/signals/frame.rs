//! Into a signal handler, and out of it.

use super::{AlternateStack, end};
use crate::calls::Answer;
use crate::task::Task;
use toro::user;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{SignalAction, SignalStack};
use toro_linux_abi::raw;
use toro_linux_abi::signals::{SignalFrame, SignalInfo, SignalRegisters, SignalSet, pack_extended, place};

/// A call that a signal interrupted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    /// Its number.
    pub number: u64,
    /// How: [`Errno::RESTART`] or [`Errno::RESTART_UNLESS_HANDLED`].
    pub how: Errno,
}

/// Bytes of the `syscall` instruction.
const SYSCALL_BYTES: u64 = 2;

/// Makes the program begin the call that was interrupted again.
fn restart(task: &mut Task, call: Interrupted) {
    let registers = task.context.registers_mut();
    registers.rip = registers.rip.wrapping_sub(SYSCALL_BYTES);
    registers.rax = call.number;
}

/// No handler has begun, so a call that was interrupted begins again.
pub(super) fn restart_unhandled(task: &mut Task) {
    if let Some(call) = task.interrupted.take() {
        restart(task, call);
    }
}

/// What a fault told of itself, for the frame of its signal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trap {
    /// The processor's error code.
    pub error: u64,
    /// Its number of the exception.
    pub number: u64,
    /// The address of a page fault.
    pub address: u64,
}

/// Puts a frame onto the stack, and the program at the handler's beginning.
pub(super) fn begin_handler(task: &mut Task, action: SignalAction, info: SignalInfo) {
    if let Some(call) = task.interrupted.take()
        && call.how == Errno::RESTART
        && action.flags & u64::from(raw::SA_RESTART) != 0
    {
        restart(task, call); // once the handler has returned; otherwise the call has failed by `EINTR`
    }
    let mask = task.handle.signals(|signals| signals.mask);
    // What a call had replaced for its time is what the handler's end puts back.
    let saved = task.saved_mask.take().map_or(mask, SignalSet);
    if push_frame(task, action, info, saved).is_err() {
        // No handler without a stack, not even for this.
        end(task, &SignalInfo::new(raw::SIGSEGV, raw::SI_KERNEL as i32), None);
    }
    let mut blocked = mask.with(SignalSet(action.mask));
    if action.flags & u64::from(raw::SA_NODEFER) == 0 {
        blocked = blocked.with(SignalSet::of(info.signo));
    }
    super::set_mask(task, blocked);
}

fn push_frame(task: &mut Task, action: SignalAction, info: SignalInfo, mask: SignalSet) -> Result<(), Errno> {
    let extended = &mut task.extended;
    pack_extended(extended, task.context.extended(), user::state_components()).map_err(|_| Errno::NOMEM)?;
    let rsp = task.context.registers().rsp;
    let stack = task.kept.signal_stack;
    let changes = action.flags & u64::from(raw::SA_ONSTACK) != 0 && stack.size != 0 && !stack.has(rsp);
    let top = if changes { stack.sp.wrapping_add(stack.size) } else { rsp };
    let placement = place(top, changes, extended.len()).ok_or(Errno::FAULT)?;
    if (changes || stack.has(rsp)) && placement.frame < stack.sp {
        return Err(Errno::FAULT); // it would run over the end of the alternate stack
    }
    let trap = core::mem::take(&mut task.trap);
    let frame = SignalFrame::new(
        placement,
        action.restorer,
        stack.told(rsp),
        registers_of(task.context.registers(), trap, mask),
        mask,
        info,
    );
    let memory = &task.process.memory;
    memory.write(placement.extended, extended)?;
    memory.put(placement.frame, &frame)?;
    if stack.flags != 0 && changes {
        task.kept.signal_stack = AlternateStack::NONE; // `SS_AUTODISARM`
    }
    let (information, context) = SignalFrame::arguments(placement);
    let registers = task.context.registers_mut();
    registers.rip = action.handler;
    registers.rsp = placement.frame;
    (registers.rdi, registers.rsi, registers.rdx) = (u64::from(info.signo), information, context);
    registers.rax = 0;
    registers.rflags &= !(FLAG_DIRECTION | FLAG_TRAP | FLAG_RESUME);
    Ok(())
}

const FLAG_TRAP: u64 = 1 << 8;
const FLAG_DIRECTION: u64 = 1 << 10;
const FLAG_RESUME: u64 = 1 << 16;

fn registers_of(from: &user::Registers, trap: Trap, mask: SignalSet) -> SignalRegisters {
    SignalRegisters {
        r8: from.r8,
        r9: from.r9,
        r10: from.r10,
        r11: from.r11,
        r12: from.r12,
        r13: from.r13,
        r14: from.r14,
        r15: from.r15,
        rdi: from.rdi,
        rsi: from.rsi,
        rbp: from.rbp,
        rbx: from.rbx,
        rdx: from.rdx,
        rax: from.rax,
        rcx: from.rcx,
        rsp: from.rsp,
        rip: from.rip,
        rflags: from.rflags,
        err: trap.error,
        trapno: trap.number,
        oldmask: mask.0,
        cr2: trap.address,
        ..SignalRegisters::default()
    }
}

fn to_registers(from: &SignalRegisters) -> user::Registers {
    user::Registers {
        rax: from.rax,
        rbx: from.rbx,
        rcx: from.rcx,
        rdx: from.rdx,
        rsi: from.rsi,
        rdi: from.rdi,
        rbp: from.rbp,
        rsp: from.rsp,
        r8: from.r8,
        r9: from.r9,
        r10: from.r10,
        r11: from.r11,
        r12: from.r12,
        r13: from.r13,
        r14: from.r14,
        r15: from.r15,
        rip: from.rip,
        rflags: from.rflags,
    }
}

/// `rt_sigreturn`: the registers are those of the frame, which the handler may have changed.
pub(crate) fn return_from_handler(task: &mut Task) -> Answer {
    if restore(task).is_err() {
        end(task, &SignalInfo::new(raw::SIGSEGV, raw::SI_KERNEL as i32), None);
    }
    // What the frame has there is not to be changed by this call's own result.
    Ok(task.context.registers().rax)
}

fn restore(task: &mut Task) -> Result<(), Errno> {
    let memory = &task.process.memory;
    // The handler's return has taken the restorer's address off.
    let at = task.context.registers().rsp.wrapping_sub(8);
    let frame: SignalFrame = memory.get(at)?;
    let extended = &mut task.extended;
    let count = if frame.registers.fpstate == 0 { 0 } else { user::state_bytes() };
    extended.truncate(count);
    extended.try_reserve(count - extended.len()).map_err(|_| Errno::NOMEM)?;
    extended.resize(count, 0);
    memory.read(frame.registers.fpstate, extended)?;
    *task.context.registers_mut() = to_registers(&frame.registers);
    task.context.set_extended(extended);
    let SignalStack { sp, flags, size, .. } = frame.stack;
    // Not while it is in use, and not one that makes no sense: Linux ignores that, too.
    let _ignored = set_alternate_stack(task, sp, flags, size);
    super::set_mask(task, SignalSet(frame.mask));
    Ok(())
}

/// Bytes that a frame takes at least: what programs are told as `AT_MINSIGSTKSZ`.
pub(crate) fn stack_bytes_min() -> u64 {
    (toro_linux_abi::signals::FRAME_BYTES + user::state_bytes() + 128).next_multiple_of(16) as u64
}

/// Least bytes of an alternate stack.
const MINSIGSTKSZ: u64 = 2048;

/// `sigaltstack`.
pub(crate) fn set_alternate_stack(task: &mut Task, sp: u64, flags: i32, size: u64) -> Result<(), Errno> {
    if task.kept.signal_stack.has(task.context.registers().rsp) {
        return Err(Errno::PERM);
    }
    let mode = flags & !(raw::SS_AUTODISARM as i32);
    task.kept.signal_stack = match mode as u32 {
        raw::SS_DISABLE => AlternateStack::NONE,
        0 | raw::SS_ONSTACK if size < MINSIGSTKSZ => return Err(Errno::NOMEM),
        0 | raw::SS_ONSTACK => AlternateStack { sp, size, flags: flags & raw::SS_AUTODISARM as i32 },
        _ => return Err(Errno::INVAL),
    };
    Ok(())
}
