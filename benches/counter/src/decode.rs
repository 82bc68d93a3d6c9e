//! Which counter an instruction belongs to, from its bytes: just enough decoding for that.

use crate::layout::Counter;

/// What the plugin does when this instruction runs, beside counting it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) counter: Option<Counter>,
    /// Port of an `out imm8`, which may be the marker.
    pub(crate) out_port: Option<u8>,
}

/// Classifies one instruction of 64-bit or 32-bit code.
///
/// In 32-bit code 0x40..0x4f is `inc`/`dec`, never followed by more bytes, so it is not mistaken for REX.
pub(crate) fn classify(bytes: &[u8]) -> Class {
    let prefixes = bytes.iter().take_while(|&&byte| is_prefix(byte)).count();
    let repeated = bytes[..prefixes].iter().any(|&byte| matches!(byte, 0xf2 | 0xf3));
    let mut rest = &bytes[prefixes..];
    if let [0x40..=0x4f, tail @ ..] = rest
        && !tail.is_empty()
    {
        rest = tail;
    }
    let out_port = match rest {
        [0xe6 | 0xe7, port, ..] => Some(*port),
        _ => None,
    };
    Class { counter: counter_of(rest, repeated), out_port }
}

fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0xf2 | 0xf3 | 0x66 | 0x67 | 0xf0 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65)
}

fn counter_of(opcode: &[u8], repeated: bool) -> Option<Counter> {
    Some(match *opcode.first()? {
        0xe4 | 0xe5 | 0xec | 0xed | 0x6c | 0x6d => Counter::PortIn,
        0xe6 | 0xe7 | 0xee | 0xef | 0x6e | 0x6f => Counter::PortOut,
        // movs, cmps, stos, lods, scas
        0xa4..=0xa7 | 0xaa..=0xaf if repeated => Counter::RepIterations,
        0xf4 => Counter::Hlt,
        0xcf => Counter::Iret,
        0xfa | 0xfb => Counter::CliSti,
        0x90 if repeated => Counter::Pause,
        0x0f => return two_byte(&opcode[1..]),
        _ => return None,
    })
}

fn two_byte(opcode: &[u8]) -> Option<Counter> {
    Some(match *opcode.first()? {
        0x05 => Counter::Syscall,
        0x08 | 0x09 => Counter::Wbinvd,
        0x20 | 0x22 => Counter::MovCr,
        0x30 => Counter::Wrmsr,
        0x31 => Counter::Rdtsc,
        0x32 => Counter::Rdmsr,
        0xa2 => Counter::Cpuid,
        0x01 => match *opcode.get(1)? {
            0xc8 | 0xc9 => Counter::Mwait,
            0xc1 | 0xd9 => Counter::Vmcall,
            0xf9 => Counter::Rdtsc,
            modrm if modrm < 0xc0 && (modrm >> 3) & 7 == 7 => Counter::Invlpg,
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_recognised() {
        let cases: &[(&[u8], Option<Counter>)] = &[
            (&[0x90], None),
            (&[0xf3, 0x90], Some(Counter::Pause)),
            (&[0xec], Some(Counter::PortIn)),
            (&[0x66, 0xed], Some(Counter::PortIn)),
            (&[0xee], Some(Counter::PortOut)),
            (&[0xf3, 0x6e], Some(Counter::PortOut)),
            (&[0xf4], Some(Counter::Hlt)),
            (&[0x0f, 0x01, 0xc9], Some(Counter::Mwait)),
            (&[0x0f, 0x32], Some(Counter::Rdmsr)),
            (&[0x0f, 0x30], Some(Counter::Wrmsr)),
            (&[0x0f, 0xa2], Some(Counter::Cpuid)),
            (&[0x0f, 0x22, 0xd8], Some(Counter::MovCr)),
            (&[0x44, 0x0f, 0x20, 0xc0], Some(Counter::MovCr)),
            (&[0x0f, 0x01, 0x3f], Some(Counter::Invlpg)),
            (&[0x0f, 0x01, 0xf8], None), // swapgs
            (&[0x48, 0xcf], Some(Counter::Iret)),
            (&[0xfb], Some(Counter::CliSti)),
            (&[0x0f, 0x05], Some(Counter::Syscall)),
            (&[0xf3, 0x48, 0xab], Some(Counter::RepIterations)),
            (&[0x48, 0xab], None),
            (&[], None),
            (&[0x0f], None),
            (&[0x66], None),
            (&[0x0f, 0x01], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(classify(bytes).counter, *expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn an_immediate_port_is_reported() {
        assert_eq!(classify(&[0xe6, 0xf4]), Class { counter: Some(Counter::PortOut), out_port: Some(0xf4) });
        assert_eq!(classify(&[0xee]).out_port, None);
        assert_eq!(classify(&[0xe6]).out_port, None);
    }
}
