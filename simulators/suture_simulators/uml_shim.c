/*
 * Mends two calls of User-Mode Linux 6.1, into which it is preloaded.
 *
 * ptrace: on processors whose extended register state is larger than the buffer that UML sets aside for it, UML does not
 * boot. It hands PTRACE_SETREGSET/NT_X86_XSTATE a state shorter than the processor's, which newer kernels refuse. Here the
 * whole state is read first, the short one laid over its beginning, and the whole written back. Besides, what UML
 * traces dies with it instead of running on as a process of the host.
 *
 * sigsuspend: a packet that arrives just when UML goes idle is not noticed until the next one does. UML notes the signal
 * while its interrupts are off, and then sleeps all the same. Here it sleeps only while none of its descriptors is ready.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Larger than any state known; AMX's is 11 KB. */
#define STATE_BYTES 65536

static long real_ptrace(int request, pid_t pid, void *address, void *data)
{
	static long (*next)(int, pid_t, void *, void *);

	if (!next)
		next = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
	return next(request, pid, address, data);
}

static int laid_over_whole(pid_t pid, void *kind, const struct iovec *given, struct iovec *whole)
{
	if (given->iov_len >= whole->iov_len || real_ptrace(PTRACE_GETREGSET, pid, kind, whole) != 0)
		return 0;
	if (given->iov_len >= whole->iov_len)
		return 0;
	memcpy(whole->iov_base, given->iov_base, given->iov_len);
	return 1;
}

long ptrace(enum __ptrace_request request, ...)
{
	static char state[STATE_BYTES];
	struct iovec whole = { state, sizeof state };
	va_list rest;

	va_start(rest, request);
	pid_t pid = va_arg(rest, pid_t);
	void *address = va_arg(rest, void *);
	void *data = va_arg(rest, void *);
	va_end(rest);
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE && laid_over_whole(pid, address, data, &whole))
		data = &whole;
	if (request == PTRACE_SETOPTIONS)
		data = (void *)((long)data | PTRACE_O_EXITKILL);
	return real_ptrace(request, pid, address, data);
}

static int descriptors = -1;

int epoll_create(int size)
{
	static int (*next)(int);

	if (!next)
		next = (int (*)(int))dlsym(RTLD_NEXT, "epoll_create");
	return descriptors = next(size);
}

/* How often in a row UML is sent back to look: what it leaves unread must not keep it awake for ever. */
#define LOOKS 3

int sigsuspend(const sigset_t *mask)
{
	static int (*next)(const sigset_t *);
	static int looks;
	struct pollfd ready = { .fd = descriptors, .events = POLLIN };
	sigset_t io, before;
	int result = -1;

	if (!next)
		next = (int (*)(const sigset_t *))dlsym(RTLD_NEXT, "sigsuspend");
	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, &before);
	if (descriptors < 0 || looks >= LOOKS || poll(&ready, 1, 0) <= 0) {
		looks = 0;
		result = next(mask);
	} else {
		looks++;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}
