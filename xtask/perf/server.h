// The loop of all servers over TCP: level-triggered epoll in one thread.
#ifndef SERVER_H
#define SERVER_H
#include "common.h"

static inline int listen_on(const char *port) {
    struct sockaddr_in address = loopback(port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    switch_on(listener, SOL_SOCKET, SO_REUSEADDR);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) fail("listen");
    return listener;
}

// The next who waits to be accepted, or -1.
static inline int accept_from(int listener) {
    int peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (peer >= MOST_DESCRIPTORS) {
        close(peer);
        return -1;
    }
    if (peer >= 0) switch_on(peer, IPPROTO_TCP, TCP_NODELAY);
    return peer;
}

static void welcome(int poll, int peer);
static void serve(int poll, int peer, uint32_t events);

// Accepts whoever comes, and serves them for ever.
static inline void serve_all(const char *port) {
    raise_limit();
    int listener = listen_on(port), poll = epoll_create1(0);
    watch(poll, listener, EPOLLIN, EPOLL_CTL_ADD);
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int peer = events[i].data.fd;
            if (peer != listener) serve(poll, peer, events[i].events);
            else
                while ((peer = accept_from(listener)) >= 0) welcome(poll, peer);
        }
    }
}

#endif
