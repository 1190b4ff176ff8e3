/* The ptrace() of a User-Mode Linux kernel, loaded with LD_PRELOAD. It mends two things.
 *
 * A guest's process is a process of the host that the kernel traces. When the kernel is killed, the host lets go of
 * those it traced, and they would run on: system calls meant for the guest would be the host's. So each is traced
 * with PTRACE_O_EXITKILL, which kills it when its tracer ends. Linux 6.1's UML does not ask for that.
 *
 * With -DWHOLE_XSTATE also: a UML older than 6.13 saves a process's floating point registers in 2696 bytes, which was
 * all there was before AMX (Intel since Sapphire Rapids). The host takes the whole set (11008 bytes) or nothing:
 * setting fewer fails with EFAULT, and the guest panics on its first process. This ptrace() asks the host for the
 * whole set and hands UML the part that it has room for; going back, it adds the rest as "not in use". No guest
 * process can ever use AMX (a process must ask its kernel first, and UML says no), so nothing is lost.
 *
 * No headers and no C library of its own, so any C compiler will do, tcc too, without development packages.
 */

typedef unsigned long size_type;

#define SYS_PTRACE 101
#define OLDSETOPTIONS 21
#define SETOPTIONS 0x4200
#define EXITKILL (1L << 20)
#define GETREGSET 0x4204
#define SETREGSET 0x4205
#define NT_X86_XSTATE 0x202

extern int *__errno_location(void);

static long host_ptrace(long request, long pid, void *address, void *data)
{
    long result;
    /* tcc takes no notice of a variable bound to a register, so r10 is filled by hand */
    __asm__ volatile("movq %4, %%r10\n\tsyscall"
                     : "=a"(result)
                     : "D"(request), "S"(pid), "d"(address), "b"(data), "0"((long)SYS_PTRACE)
                     : "rcx", "r10", "r11", "memory");
    return result;
}

#ifdef WHOLE_XSTATE
#define IN_USE_OFFSET 512             /* the bit map of components in use, in the XSAVE header */
#define COMPONENTS_BEFORE_AMX 0x3fful /* x87 … PKRU */
#define WHOLE 65536

struct io_vector {
    char *base;
    size_type length;
};

static char whole[WHOLE] __attribute__((aligned(64))); /* UML calls ptrace from one thread only */

static void copy(char *to, const char *from, size_type count)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void clear(char *to, size_type count)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
}

static long get_xstate(long pid, void *address, struct io_vector *asked)
{
    struct io_vector all = {whole, WHOLE};
    long result = host_ptrace(GETREGSET, pid, address, &all);

    if (result >= 0) {
        if (asked->length > all.length)
            asked->length = all.length;
        copy(asked->base, whole, asked->length);
    }
    return result;
}

static long set_xstate(long pid, void *address, struct io_vector *asked)
{
    struct io_vector all = {whole, WHOLE};

    clear(whole, WHOLE);
    copy(whole, asked->base, asked->length);
    *(size_type *)(whole + IN_USE_OFFSET) &= COMPONENTS_BEFORE_AMX;
    return host_ptrace(SETREGSET, pid, address, &all);
}
#endif

long ptrace(long request, long pid, void *address, void *data)
{
    long peeked, result;

    request = (int)request;
    pid = (int)pid;
    if (request == SETOPTIONS || request == OLDSETOPTIONS) {
        result = host_ptrace(request, pid, address, (void *)((long)data | EXITKILL));
#ifdef WHOLE_XSTATE
    } else if (request == GETREGSET && address == (void *)NT_X86_XSTATE) {
        result = get_xstate(pid, address, data);
    } else if (request == SETREGSET && address == (void *)NT_X86_XSTATE
               && ((struct io_vector *)data)->length <= WHOLE) {
        result = set_xstate(pid, address, data);
#endif
    } else if (request >= 1 && request <= 3) { /* PEEK…: the C library returns the word instead of storing it */
        result = host_ptrace(request, pid, address, &peeked);
        if (result >= 0) {
            *__errno_location() = 0;
            return peeked;
        }
    } else {
        result = host_ptrace(request, pid, address, data);
    }
    if (result < 0) {
        *__errno_location() = (int)-result;
        return -1;
    }
    return result;
}
