// What a peer has not taken yet: kept for each descriptor, and sent when the socket has room again.
#ifndef REST_H
#define REST_H
#include "common.h"

struct rest {
    char *bytes;
    size_t from, until;
};

static struct rest rests[MOST_DESCRIPTORS];

static inline int owes(int peer) { return rests[peer].bytes != NULL; }

static inline void forget(int peer) {
    free(rests[peer].bytes);
    rests[peer] = (struct rest){0};
}

static inline void keep(int poll, int peer, const char *bytes, size_t length) {
    struct rest *rest = &rests[peer];
    if (!rest->bytes) watch(poll, peer, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    rest->bytes = realloc(rest->bytes, rest->until + length);
    if (!rest->bytes) fail("realloc");
    memcpy(rest->bytes + rest->until, bytes, length);
    rest->until += length;
}

// Sends now what goes now, and keeps the rest. False says that the peer is gone.
static inline int give(int poll, int peer, const char *bytes, size_t length) {
    ssize_t sent = 0;
    if (!owes(peer)) {
        sent = send(peer, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return 0;
        if (sent < 0) sent = 0;
    }
    if ((size_t)sent < length) keep(poll, peer, bytes + sent, length - (size_t)sent);
    return 1;
}

// The socket has room. False says that the peer is gone.
static inline int give_rest(int poll, int peer) {
    struct rest *rest = &rests[peer];
    ssize_t sent = send(peer, rest->bytes + rest->from, rest->until - rest->from, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    rest->from += (size_t)sent;
    if (rest->from == rest->until) {
        forget(peer);
        watch(poll, peer, EPOLLIN, EPOLL_CTL_MOD);
    }
    return 1;
}

#endif
