// What all programs of this folder share: sockets on loopback, the clock, and how they fail.
#ifndef COMMON_H
#define COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024, EVENTS = 512, MOST_DESCRIPTORS = 64 * 1024 };

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline void usage(const char *words) {
    fprintf(stderr, "usage: %s\n", words);
    exit(2);
}

static inline uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline uint64_t nanoseconds(const char *seconds) { return (uint64_t)(atof(seconds) * 1e9); }

static inline struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void switch_on(int socket, int level, int option) {
    int on = 1;
    // An option that a kernel does not have costs speed alone.
    setsockopt(socket, level, option, &on, sizeof on);
}

// A connected socket, which blocks until it is told otherwise.
static inline int connect_to(const char *port) {
    struct sockaddr_in address = loopback(port);
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    if (peer < 0 || connect(peer, (struct sockaddr *)&address, sizeof address)) fail("connect");
    switch_on(peer, IPPROTO_TCP, TCP_NODELAY);
    return peer;
}

static inline void unblock(int socket) { fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK); }

static inline void watch(int poll, int what, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.fd = what};
    if (epoll_ctl(poll, operation, what, &event)) fail("epoll_ctl");
}

// As many descriptors as the system allows.
static inline void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static inline void *allocate(size_t size) {
    void *bytes = calloc(1, size);
    if (!bytes) fail("calloc");
    return bytes;
}

#endif
