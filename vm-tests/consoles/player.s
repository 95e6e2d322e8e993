# Plays a transcript on the first serial port: what follows the boot sector is a script.
#
# It begins with a table of 16-bit offsets: where to go on after no reset, one, two, ... Then orders:
#   0             the end
#   1 LENGTH TEXT prints
#   2 TICKS       waits, 18.2 ticks a second
#   3             waits for Enter
#   4             resets the machine, once the count of resets in CMOS has been raised
#   5             switches the machine off (ICH9: PM1a_CNT at 0x604)
#
# Source: RBIL, int 13h function 42h; 16550 data sheet; Intel ICH9 data sheet, 13.8.3 and 13.7.5.

        .code16
        .globl _start
        .equ    PORT, 0x3f8
        .equ    RESETS, 0x74            # a CMOS cell that SeaBIOS leaves alone
        .equ    SCRIPT, 0x1000          # the segment

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
        # SeaBIOS looks at the port with every tick, and would take what was typed. Source: SeaBIOS, src/sercon.c.
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
        # SeaBIOS prints the end of its own line with the next tick.
        movw    $3, %cx
        jmp     wait

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
wait:   jcxz    next
1:      movw    %es:0x46c, %bx
2:      hlt
        cmpw    %es:0x46c, %bx
        je      2b
        loop    1b
        jmp     next

# Asleep between ticks: one that only asks its port leaves QEMU's other thread, which brings what was typed, little time.
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
