//! `memcpy` and its family, which the compiler calls by name and nobody else provides here (a library without SSE
//! brings its own).
//!
//! Wide moves, not `rep movsb`: an emulated processor executes a repeated instruction byte by byte.
//! Lengths up to 32 take two overlapping moves; longer ones loops of 128 and 32 bytes and an overlapping tail,
//! whose source is read first, so that a forward copy may overlap.

#![expect(unsafe_code, reason = "the compiler calls these by name with raw pointers")]

use core::arch::global_asm;

global_asm!(
    r#"
    .if {sse}
    .section .text.memory_functions, "ax", @progbits
    .global memcpy, memmove, memset, memcmp, bcmp, strlen
    .balign 16
memmove:
    mov rax, rdi
    sub rax, rsi
    cmp rax, rdx
    jb 20f                          # 0 <= destination - source < length: copy backward
memcpy:
    mov rax, rdi
    cmp rdx, 32
    ja 10f
    cmp rdx, 16
    jae 1f
    cmp edx, 8
    jae 2f
    cmp edx, 4
    jae 3f
    test edx, edx
    jz 4f
    movzx ecx, byte ptr [rsi]
    movzx r8d, byte ptr [rsi + rdx - 1]
    shr edx
    movzx r9d, byte ptr [rsi + rdx]
    mov byte ptr [rdi + rdx], r9b
    adc edx, edx
    mov byte ptr [rdi + rdx - 1], r8b
    mov byte ptr [rdi], cl
4:  ret
1:  movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    ret
2:  mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
3:  mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
    ret
10: movups xmm4, [rsi + rdx - 16]
    movups xmm5, [rsi + rdx - 32]
    lea r8, [rdi + rdx]
    cmp rdx, 128
    jbe 11f
12: movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups xmm6, [rsi + 64]
    movups xmm7, [rsi + 80]
    movups xmm8, [rsi + 96]
    movups xmm9, [rsi + 112]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    movups [rdi + 64], xmm6
    movups [rdi + 80], xmm7
    movups [rdi + 96], xmm8
    movups [rdi + 112], xmm9
    sub rsi, -128
    sub rdi, -128
    add rdx, -128
    cmp rdx, 128
    ja 12b
    cmp rdx, 32
    jbe 13f
11: movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    add rsi, 32
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    add rdi, 32
    sub rdx, 32
    cmp rdx, 32
    ja 11b
13: movups [r8 - 32], xmm5
    movups [r8 - 16], xmm4
    ret
20: mov rax, rdi
    cmp rdx, 32
    jbe memcpy                      # both ends are read before either is written
    movups xmm4, [rsi]
    movups xmm5, [rsi + 16]
21: movups xmm0, [rsi + rdx - 16]
    movups xmm1, [rsi + rdx - 32]
    movups [rdi + rdx - 16], xmm0
    movups [rdi + rdx - 32], xmm1
    sub rdx, 32
    cmp rdx, 32
    ja 21b
    movups [rdi], xmm4
    movups [rdi + 16], xmm5
    ret

    .balign 16
memset:
    mov rax, rdi
    movzx esi, sil
    mov rcx, 0x0101010101010101
    imul rsi, rcx
    cmp rdx, 16
    jae 1f
    cmp edx, 8
    jae 2f
    cmp edx, 4
    jae 3f
    test edx, edx
    jz 4f
    mov byte ptr [rdi], sil
    mov byte ptr [rdi + rdx - 1], sil
    shr edx
    mov byte ptr [rdi + rdx], sil
4:  ret
2:  mov [rdi], rsi
    mov [rdi + rdx - 8], rsi
    ret
3:  mov [rdi], esi
    mov [rdi + rdx - 4], esi
    ret
1:  movq xmm0, rsi
    punpcklqdq xmm0, xmm0
    movups [rdi + rdx - 16], xmm0
    sub rdx, 16
    jbe 6f
5:  movups [rdi], xmm0
    add rdi, 16
    sub rdx, 16
    ja 5b
    ret
6:  movups [rdi], xmm0
    ret

    .balign 16
memcmp:
bcmp:
    xor eax, eax
1:  cmp rdx, 8
    jb 2f
    mov rcx, [rdi]
    mov r8, [rsi]
    cmp rcx, r8
    jne 3f
    add rdi, 8
    add rsi, 8
    sub rdx, 8
    jmp 1b
2:  test rdx, rdx
    jz 4f
    movzx ecx, byte ptr [rdi]
    movzx r8d, byte ptr [rsi]
    inc rdi
    inc rsi
    dec rdx
    cmp ecx, r8d
    je 2b
    mov eax, ecx
    sub eax, r8d
4:  ret
3:  bswap rcx
    bswap r8
    cmp rcx, r8
    sbb eax, eax
    or eax, 1
    ret

    # Named by the landing pads of the precompiled library; nothing here unwinds, so nothing gets here.
    .global rust_eh_personality, _Unwind_Resume
rust_eh_personality:
_Unwind_Resume:
    ud2

    .balign 16
strlen:
    xor eax, eax
    jmp 2f
1:  inc rax
2:  cmp byte ptr [rdi + rax], 0
    jne 1b
    ret
    .endif
    "#,
    sse = const super::SSE,
);
