/* Lets a User-Mode Linux older than 6.13 run on processors with AMX (Intel since Sapphire Rapids).
 *
 * Such a kernel saves a process's floating point registers in 2696 bytes, which was all there was before AMX. The
 * host takes the whole set (11008 bytes) or nothing: setting fewer fails with EFAULT, and the guest panics on its
 * first process. Loaded with LD_PRELOAD, this ptrace() asks the host for the whole set and hands UML the part that
 * it has room for; going back, it adds the rest as "not in use". No guest process can ever use AMX (a process must
 * ask its kernel first, and UML says no), so nothing is lost.
 *
 * No headers and no C library of its own, so any C compiler will do, without development packages.
 */

typedef unsigned long size_type;

struct io_vector {
    char *base;
    size_type length;
};

#define SYS_PTRACE 101
#define GETREGSET 0x4204
#define SETREGSET 0x4205
#define NT_X86_XSTATE 0x202
#define IN_USE_OFFSET 512             /* the bit map of components in use, in the XSAVE header */
#define COMPONENTS_BEFORE_AMX 0x3fful /* x87 … PKRU */
#define WHOLE 65536

extern int *__errno_location(void);

static char whole[WHOLE] __attribute__((aligned(64))); /* UML calls ptrace from one thread only */

static long host_ptrace(long request, long pid, void *address, void *data)
{
    long result;
    register void *fourth __asm__("r10") = data;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_PTRACE), "D"(request), "S"(pid), "d"(address), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}

static void copy(char *to, const char *from, size_type count)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void clear(char *to, size_type count)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
}

long ptrace(long request, long pid, void *address, void *data)
{
    long peeked, result;
    struct io_vector *asked = data, all = {whole, WHOLE};

    request = (int)request;
    pid = (int)pid;
    if (request == GETREGSET && address == (void *)NT_X86_XSTATE) {
        result = host_ptrace(request, pid, address, &all);
        if (result >= 0) {
            if (asked->length > all.length)
                asked->length = all.length;
            copy(asked->base, whole, asked->length);
        }
    } else if (request == SETREGSET && address == (void *)NT_X86_XSTATE && asked->length <= WHOLE) {
        clear(whole, WHOLE);
        copy(whole, asked->base, asked->length);
        *(size_type *)(whole + IN_USE_OFFSET) &= COMPONENTS_BEFORE_AMX;
        result = host_ptrace(request, pid, address, &all);
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
