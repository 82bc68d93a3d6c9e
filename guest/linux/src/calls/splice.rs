//! Moving bytes from one file to another, without the program: over a frame of the kernel's.

use super::io::{BYTES_MAX, broken_pipe, file, pieces, read_whole, repeat, write_all, write_whole};
use super::{Answer, Args};
use crate::memory::{PAGE, Transfer};
use crate::objects::pipe::End;
use crate::objects::{OpenFile, Whence};
use crate::task::Task;
use toro::prelude::*;
use toro::sync::Arc;
use toro::thread;
use toro::user::{Access, SharedFrame};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::O_APPEND;

/// How much one thread moves before others of its core have a turn.
const BYTES_PER_TURN: u64 = 256 << 10;

/// Moves up to `bytes` from one file to another, over a frame of the kernel's.
fn copy(
    task: &mut Task,
    from: &OpenFile,
    to: &OpenFile,
    bytes: u64,
    mut from_offset: Option<u64>,
    mut to_offset: Option<u64>,
) -> Result<u64, Errno> {
    from.check_read()?;
    to.check_write()?;
    let buffer = SharedFrame::zeroed().map_err(|_| Errno::NOMEM)?;
    let (mut done, mut turn_ends) = (0, BYTES_PER_TURN);
    let result = loop {
        let wanted = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(PAGE);
        // Some of it is an answer, too, when a signal waits: `/dev/zero`, say, has no end.
        if wanted == 0 || done > 0 && task.handle.wants_attention() {
            break Ok(done);
        }
        if done >= turn_ends {
            thread::yield_now();
            turn_ends = done + BYTES_PER_TURN;
        }
        let mut room = Transfer::of_frame(&buffer, wanted);
        let read = match from_offset {
            Some(at) => repeat(task, from, &mut room, false, None, false, |to| from.object.read_at(to, at)),
            None => read_whole(task, from, &mut room),
        };
        let read = match read {
            Ok(0) => break Ok(done),
            Ok(read) => read as u64,
            Err(error) => break Err(error),
        };
        let mut supply = Transfer::of_frame(&buffer, read as usize);
        let written = match to_offset {
            Some(at) => repeat(task, to, &mut supply, false, None, false, |from| to.object.write_at(from, Some(at))),
            None => write_whole(task, to, &mut supply),
        };
        let written = written.map(|written| written as u64);
        let moved = written.unwrap_or(0);
        // What was read and could not be written is read again.
        match &mut from_offset {
            Some(offset) => *offset += moved,
            None if moved < read => {
                let back = -((read - moved) as i64);
                let _what_cannot_go_back_is_lost = from.object.seek(from, back, Whence::Current);
            }
            None => {}
        }
        if let Some(offset) = &mut to_offset {
            *offset += moved;
        }
        done += moved;
        match written {
            Ok(written) if written == read => {}
            Ok(_) => break Ok(done),
            Err(error) => break Err(error),
        }
    };
    match result {
        Err(_) if done > 0 => Ok(done),
        result => result,
    }
}

pub(super) fn sendfile(task: &mut Task, [out, input, offset, bytes, ..]: Args) -> Answer {
    let (from, to) = (file(task, input)?, file(task, out)?);
    let memory = &task.process.memory;
    // What is sent has positions: a file.
    if from.object.data().is_none() && offset == 0 && from.object.seek(&from, 0, Whence::Current).is_err() {
        return Err(Errno::INVAL);
    }
    let start = if offset == 0 { None } else { Some(memory.get::<i64>(offset)?) };
    let start = start.map(|start| u64::try_from(start).map_err(|_| Errno::INVAL)).transpose()?;
    let moved = copy(task, &from, &to, bytes.min(BYTES_MAX as u64), start, None)?;
    if let Some(start) = start {
        memory.put(offset, &(start + moved))?;
    }
    Ok(moved)
}

pub(super) fn copy_file_range(task: &mut Task, [input, in_offset, out, out_offset, bytes, flags]: Args) -> Answer {
    let (from, to) = (file(task, input)?, file(task, out)?);
    if flags != 0 || from.object.data().is_none() || to.object.data().is_none() {
        return Err(Errno::INVAL);
    }
    if to.flags() & O_APPEND != 0 {
        return Err(Errno::BADF);
    }
    let memory = &task.process.memory;
    let offset = |at: u64| match at {
        0 => Ok(None),
        at => u64::try_from(memory.get::<i64>(at)?).map(Some).map_err(|_| Errno::INVAL),
    };
    let (start, end) = (offset(in_offset)?, offset(out_offset)?);
    if from.object.status().ino == to.object.status().ino {
        // One after the other: both may be the same.
        let start = start.unwrap_or_else(|| *from.position.lock());
        let end = end.unwrap_or_else(|| *to.position.lock());
        if start.abs_diff(end) < bytes && bytes != 0 {
            return Err(Errno::INVAL);
        }
    }
    let moved = copy(task, &from, &to, bytes.min(BYTES_MAX as u64), start, end)?;
    for (at, before) in [(in_offset, start), (out_offset, end)] {
        if let Some(before) = before {
            memory.put(at, &(before + moved))?;
        }
    }
    Ok(moved)
}

// Pipes.

/// Flags of `splice`; `fcntl.h` of C libraries has them.
const MOVE: u64 = 1 << 0;
const NONBLOCK: u64 = 1 << 1;
const MORE: u64 = 1 << 2;
const GIFT: u64 = 1 << 3;

/// Asks a pipe until there is an answer other than `EAGAIN`, or gives that where it is not to be waited for.
fn ask<R>(
    task: &mut Task,
    open: &OpenFile,
    pipe: &End,
    waits: bool,
    question: impl Fn(&End) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let source = open.object.source().filter(|_| waits);
    let answer = match (question(pipe), source) {
        (Err(Errno::AGAIN), Some(source)) => {
            let answer = task.wait_for(source, None, |_| match question(pipe) {
                Err(Errno::AGAIN) => None,
                answer => Some(answer),
            });
            answer.map_err(Errno::from).flatten()
        }
        (answer, _) => answer,
    };
    answer.inspect_err(|error| {
        if *error == Errno::PIPE {
            broken_pipe(task);
        }
    })
}

/// Where in a file to begin; a pipe has no such place.
fn start(task: &Task, open: &OpenFile, at: u64) -> Result<Option<u64>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    if open.object.as_pipe().is_some() {
        return Err(Errno::SPIPE);
    }
    if open.object.data().is_none() && open.object.seek(open, 0, Whence::Current).is_err() {
        return Err(Errno::INVAL);
    }
    u64::try_from(task.process.memory.get::<i64>(at)?).map(Some).map_err(|_| Errno::INVAL)
}

pub(super) fn splice(task: &mut Task, [input, in_at, out, out_at, bytes, flags]: Args) -> Answer {
    if flags & !(MOVE | NONBLOCK | MORE | GIFT) != 0 {
        return Err(Errno::INVAL);
    }
    if bytes == 0 {
        return Ok(0);
    }
    let (from, to) = (file(task, input)?, file(task, out)?);
    from.check_read()?;
    to.check_write()?;
    match (from.object.as_pipe(), to.object.as_pipe()) {
        (None, None) => return Err(Errno::INVAL),
        (Some(one), Some(other)) if one.is_of(other) => return Err(Errno::INVAL),
        (_, None) if to.flags() & O_APPEND != 0 => return Err(Errno::INVAL),
        _ => {}
    }
    let (mut in_offset, mut out_offset) = (start(task, &from, in_at)?, start(task, &to, out_at)?);
    let buffer = SharedFrame::zeroed().map_err(|_| Errno::NOMEM)?;
    let (bytes, mut done) = (bytes.min(BYTES_MAX as u64), 0);
    let result = loop {
        if done == bytes || done > 0 && task.handle.wants_attention() {
            break Ok(done);
        }
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX);
        // Of pipes the flag says whether to wait, of others they do; what has moved already is an answer.
        match step(
            task,
            (&from, &mut in_offset),
            (&to, &mut out_offset),
            &buffer,
            left,
            flags & NONBLOCK == 0,
            done == 0,
        ) {
            Ok(0) => break Ok(done),
            Ok(moved) => done += moved as u64,
            Err(_) if done > 0 => break Ok(done),
            Err(error) => break Err(error),
        }
    };
    if to.object.as_socket().is_some() {
        super::messages::after_send(task);
    }
    for (at, offset) in [(in_at, in_offset), (out_at, out_offset)] {
        if let Some(offset) = offset {
            task.process.memory.put(at, &offset)?;
        }
    }
    result
}

/// Moves a page at most.
fn step(
    task: &mut Task,
    (from, in_offset): (&OpenFile, &mut Option<u64>),
    (to, out_offset): (&OpenFile, &mut Option<u64>),
    buffer: &Arc<SharedFrame>,
    bytes: usize,
    pipes_wait: bool,
    is_first: bool,
) -> Result<usize, Errno> {
    let waits = |open: &OpenFile| is_first && !open.is_nonblocking() && (pipes_wait || open.object.as_pipe().is_none());
    let room = match to.object.as_pipe() {
        Some(pipe) => ask(task, to, pipe, waits(to), End::room)?,
        None => PAGE,
    };
    let mut place = Transfer::of_frame(buffer, bytes.min(room));
    let read = match *in_offset {
        Some(at) => repeat(task, from, &mut place, false, None, false, |to| from.object.read_at(to, at))?,
        None => {
            let patience_ns = from.object.patience_ns().0;
            repeat(task, from, &mut place, waits(from), patience_ns, false, |to| from.object.read(from, to))?
        }
    };
    let mut supply = Transfer::of_frame(buffer, read);
    let written = match *out_offset {
        Some(at) => repeat(task, to, &mut supply, false, None, true, |from| to.object.write_at(from, Some(at))),
        // There was room in a pipe: who has taken it meanwhile is waited for.
        None => {
            let patience_ns = to.object.patience_ns().1;
            let waits = to.object.as_pipe().is_some() || waits(to);
            repeat(task, to, &mut supply, waits, patience_ns, true, |from| to.object.write(to, from))
        }
    };
    if written == Err(Errno::PIPE) {
        broken_pipe(task);
    }
    let moved = *written.as_ref().unwrap_or(&0);
    if moved < read {
        let mut rest = vec![0; read - moved];
        buffer.read(moved, &mut rest);
        match from.object.as_pipe() {
            Some(pipe) => pipe.put_back(&rest)?,
            None if in_offset.is_none() => {
                let _what_cannot_go_back_is_lost = from.object.seek(from, -(rest.len() as i64), Whence::Current);
            }
            None => {}
        }
    }
    for offset in [in_offset, out_offset].into_iter().flatten() {
        *offset += moved as u64;
    }
    written
}

pub(super) fn tee(task: &mut Task, [input, out, bytes, flags, ..]: Args) -> Answer {
    if flags & !(MOVE | NONBLOCK | MORE | GIFT) != 0 {
        return Err(Errno::INVAL);
    }
    if bytes == 0 {
        return Ok(0);
    }
    let (from, to) = (file(task, input)?, file(task, out)?);
    from.check_read()?;
    to.check_write()?;
    let (Some(one), Some(other)) = (from.object.as_pipe(), to.object.as_pipe()) else { return Err(Errno::INVAL) };
    if one.is_of(other) {
        return Err(Errno::INVAL);
    }
    let waits = |open: &OpenFile| flags & NONBLOCK == 0 && !open.is_nonblocking();
    ask(task, &from, one, waits(&from), |pipe| pipe.peek(1))?;
    let room = ask(task, &to, other, waits(&to), End::room)?;
    let seen = one.peek(usize::try_from(bytes).unwrap_or(usize::MAX).min(room))?;
    let buffer = SharedFrame::zeroed().map_err(|_| Errno::NOMEM)?;
    let mut done = 0;
    for piece in seen.chunks(PAGE) {
        buffer.write(0, piece);
        let mut supply = Transfer::of_frame(&buffer, piece.len());
        match write_all(task, &to, &mut supply, false) {
            Ok(written) => done += written,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done as u64)
}

pub(super) fn vmsplice(task: &mut Task, [fd, vectors, count, flags, ..]: Args) -> Answer {
    if flags & !(MOVE | NONBLOCK | MORE | GIFT) != 0 {
        return Err(Errno::INVAL);
    }
    let open = file(task, fd)?;
    if open.object.as_pipe().is_none() {
        return Err(Errno::BADF);
    }
    let waits = flags & NONBLOCK == 0;
    if open.check_write().is_ok() {
        let mut from = pieces(task, Access::Read, vectors, count)?;
        return write_all(task, &open, &mut from, waits).map(|bytes| bytes as u64);
    }
    open.check_read()?;
    let mut to = pieces(task, Access::Write, vectors, count)?;
    let waits = waits && !open.is_nonblocking();
    repeat(task, &open, &mut to, waits, None, false, |to| open.object.read(&open, to)).map(|bytes| bytes as u64)
}
