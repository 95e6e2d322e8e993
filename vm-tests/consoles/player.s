# Plays a transcript on the first serial port. The script for it follows the boot sector.
#
# The script starts with a table of 16-bit offsets: where to continue after 0, 1, 2, ... resets. Then commands:
#   0             halt
#   1 LENGTH TEXT print
#   2 TICKS       wait, 18.2 ticks per second
#   3             wait for Enter
#   4             increment the reset counter in CMOS and reset the machine
#   5             power the machine off (ICH9: PM1a_CNT at 0x604)
#
# Source: RBIL, int 13h function 42h; 16550 data sheet; Intel ICH9 data sheet, 13.8.3 and 13.7.5.

        .code16
        .globl _start
        .equ    PORT, 0x3f8
        .equ    RESETS, 0x74            # a CMOS cell that SeaBIOS does not use
        .equ    SCRIPT, 0x1000          # segment of the script

_start: cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        sti
        movw    $packet, %si
        movb    $0x42, %ah
        int     $0x13
        jc      halt
        # SeaBIOS prints the end of its last line at the next tick.
        movw    $3, %cx
1:      movw    %es:0x46c, %bx
2:      hlt
        cmpw    %es:0x46c, %bx
        je      2b
        loop    1b
        # Replace its tick handler, which polls the port and would consume the input. Source: SeaBIOS, src/sercon.c.
        cli
        movw    $tick, %es:0x20
        movw    $0, %es:0x22
        sti
        movw    $SCRIPT, %ax
        movw    %ax, %ds
        movb    $RESETS, %al
        outb    %al, $0x70
        inb     $0x71, %al
        xorb    %ah, %ah
        movw    %ax, %bx
        shlw    $1, %bx
        movw    (%bx), %si

next:   lodsb
        cmpb    $1, %al
        je      print
        cmpb    $2, %al
        je      pause
        cmpb    $3, %al
        je      enter
        cmpb    $4, %al
        je      reset
        cmpb    $5, %al
        je      off
halt:   sti
        hlt
        jmp     halt

print:  lodsw
        movw    %ax, %cx
1:      movw    $PORT + 5, %dx
        inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        movw    $PORT, %dx
        lodsb
        outb    %al, %dx
        loop    1b
        jmp     next

pause:  lodsw
        movw    %ax, %cx
        jcxz    next
1:      movw    %es:0x46c, %bx
2:      hlt
        cmpw    %es:0x46c, %bx
        je      2b
        loop    1b
        jmp     next

# Sleep between ticks: busy polling would leave little time to QEMU's other thread, which delivers the input.
enter:  movw    $PORT + 5, %dx
        inb     %dx, %al
        testb   $1, %al
        jnz     1f
        hlt
        jmp     enter
1:      movw    $PORT, %dx
        inb     %dx, %al
        cmpb    $13, %al
        jne     enter
        jmp     next

reset:  movb    $RESETS, %al
        outb    %al, $0x70
        inb     $0x71, %al
        incb    %al
        movb    %al, %ah
        movb    $RESETS, %al
        outb    %al, $0x70
        movb    %ah, %al
        outb    %al, $0x71
        movw    $0xcf9, %dx
        movb    $6, %al
        outb    %al, %dx
        jmp     halt

off:    movw    $0x604, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
        jmp     halt

tick:   pushw   %ax
        incw    %cs:0x46c
        movb    $0x20, %al
        outb    %al, $0x20
        popw    %ax
        iret

packet: .byte   16, 0
        .word   64                      # sectors: 32 KiB
        .word   0, SCRIPT
        .quad   1

        .org    510
        .word   0xaa55
