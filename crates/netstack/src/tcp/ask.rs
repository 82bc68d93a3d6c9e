//! Questions about a connection or listener that change nothing, but for arming: who asks whether something can be done hears
//! when that changes.

use super::Tcp;
use super::connection::Connection;
use crate::error::Error;
use crate::event::{ConnectionId, ListenerId, Readiness};
use toro_tcp::Info;
use toro_tcp::{Phase, Read};

impl Connection {
    /// Whoever reads hears of the next arrival.
    #[inline]
    pub(super) fn arm_read(&mut self) {
        self.wants_read = true;
        self.read_mark = self.engine.arrived();
    }

    /// Whether the reader that was armed is to hear now.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.wants_read && self.engine.arrived() != self.read_mark
    }
}

impl Tcp {
    /// What can be done with a connection now. Arms: see [`Readiness`].
    pub(crate) fn readiness(&mut self, id: ConnectionId) -> Readiness {
        let Some(connection) = self.connections.get_key_mut(id.0) else { return Readiness::GONE };
        let closed = connection.phase == Phase::Closed;
        let opening = connection.phase == Phase::Opening;
        let peer_ended = closed || connection.engine.peer_ended() || connection.read_closed;
        let readiness = Readiness {
            readable: peer_ended || connection.engine.readable_bytes() > 0,
            writable: closed || connection.write_closed || !opening && connection.engine.has_room(),
            peer_ended,
            error: connection.error.is_some(),
            hung_up: closed || connection.write_closed && peer_ended,
        };
        connection.arm_read();
        connection.wants_write |= !readiness.writable;
        readiness
    }

    /// What can be done with a listener now. Arms.
    pub(crate) fn listener_readiness(&mut self, id: ListenerId) -> Readiness {
        let Some(listener) = self.listeners.get_key_mut(id.0) else { return Readiness::GONE };
        Readiness { readable: listener.arm(), ..Readiness::default() }
    }

    /// As a read, but what was read stays there.
    pub(crate) fn peek(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Result<usize, Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = connection.engine.peek(buffer);
        connection.answer(read)
    }

    /// Bytes that can be read now.
    pub(crate) fn readable_bytes(&self, id: ConnectionId) -> usize {
        self.connections.get_key(id.0).map_or(0, |connection| connection.engine.readable_bytes())
    }

    /// Bytes that were written and are not acknowledged, and those of them that were never sent.
    pub(crate) fn pending_bytes(&self, id: ConnectionId) -> (usize, usize) {
        self.connections
            .get_key(id.0)
            .map_or((0, 0), |connection| (connection.engine.unacknowledged_bytes(), connection.engine.unsent_bytes()))
    }

    /// Whether everything written has been acknowledged, or never will be.
    pub(crate) fn is_drained(&mut self, id: ConnectionId) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        let through = match connection.phase {
            Phase::Closed | Phase::TimeWait => true,
            Phase::Closing => connection.engine.is_through(),
            _ => connection.engine.unacknowledged_bytes() == 0,
        };
        if through {
            return Ok(());
        }
        connection.wants_drained = true;
        Err(Error::WouldBlock)
    }

    /// Takes the reason why a connection broke, if nobody has.
    pub(crate) fn take_error(&mut self, id: ConnectionId) -> Option<Error> {
        self.connections.get_key_mut(id.0)?.error.take()
    }

    /// How a connection stands.
    pub(crate) fn info(&self, id: ConnectionId) -> Result<Info, Error> {
        Ok(self.connections.get_key(id.0).ok_or(Error::NotConnected)?.engine.describe())
    }
}

impl Connection {
    /// A read's answer in the words of programs.
    #[inline]
    pub(super) fn answer(&mut self, read: Read) -> Result<usize, Error> {
        match read {
            Read::Bytes(bytes) | Read::Opening(bytes) => Ok(bytes),
            Read::Empty if self.read_closed => Ok(0),
            Read::Empty => {
                self.arm_read();
                Err(Error::WouldBlock)
            }
            Read::End => Ok(0),
            // Once: whoever asks again finds the end.
            Read::Broken => self.error.take().map_or(Ok(0), Err),
        }
    }

    /// A write's answer, to a program that wanted to write `wanted` bytes.
    #[inline]
    pub(super) fn written(&mut self, wanted: usize, written: Option<usize>) -> Result<usize, Error> {
        match written {
            // There is no buffer, and nothing under way whose end could free one.
            Some(0) if wanted > 0 && self.engine.unacknowledged_bytes() == 0 => Err(Error::OutOfMemory),
            Some(0) if wanted > 0 => {
                self.wants_write = true;
                Err(Error::WouldBlock)
            }
            Some(bytes) => {
                self.wants_write |= bytes < wanted;
                self.unsent_bytes += bytes;
                Ok(bytes)
            }
            None if self.write_closed => Err(Error::BrokenPipe),
            // Why it broke, once.
            None => Err(self.error.take().unwrap_or(Error::BrokenPipe)),
        }
    }
}
