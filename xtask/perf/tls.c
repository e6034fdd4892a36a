// tls bulk PORT SECONDS:                   sends as much as is taken, over one connection
// tls handshakes PORT SECONDS CONNECTIONS: full handshakes of TLS 1.3, so many at a time, each on a new connection
// tls idle PORT MANY:                      holds that many connections which have talked once, until its input ends
// It needs OpenSSL's headers (Debian: libssl-dev). No certificate is checked, since it is the server that is measured.
#include "histogram.h"
#include <openssl/ssl.h>

enum { PIECE = 128 * 1024 };

struct shake {
    SSL *tls;
    uint64_t began;
};

static SSL_CTX *context;

static SSL *client(int socket) {
    SSL *tls = SSL_new(context);
    if (!tls || !SSL_set_fd(tls, socket)) fail("SSL_new");
    SSL_set_connect_state(tls);
    return tls;
}

static SSL *connected(const char *port) {
    SSL *tls = client(connect_to(port));
    if (SSL_connect(tls) != 1) fail("SSL_connect");
    return tls;
}

static void bulk(const char *port, const char *seconds) {
    static char piece[PIECE];
    SSL *tls = connected(port);
    wait_for_go();
    uint64_t start = now(), end = start + nanoseconds(seconds), time, bytes = 0;
    while ((time = now()) < end) {
        int sent = SSL_write(tls, piece, sizeof piece);
        if (sent <= 0) fail("SSL_write");
        bytes += (uint64_t)sent;
    }
    report((double)(time - start) / 1e9, 0, bytes, 0, NULL);
}

static void begin(struct shake *shake, const char *port, int poll) {
    int socket = connect_to(port);
    unblock(socket);
    shake->tls = client(socket);
    shake->began = now();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = shake};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event)) fail("epoll_ctl");
    SSL_do_handshake(shake->tls);
}

static void end_of(struct shake *shake) {
    int socket = SSL_get_fd(shake->tls);
    SSL_shutdown(shake->tls);
    SSL_free(shake->tls);
    close(socket);
}

// Whether the handshake is over. Flights are short, so that nobody ever waits to write.
static int goes_on(struct shake *shake) {
    int outcome = SSL_do_handshake(shake->tls);
    if (outcome == 1) return 0;
    if (SSL_get_error(shake->tls, outcome) != SSL_ERROR_WANT_READ) fail("SSL_do_handshake");
    return 1;
}

static void handshakes(const char *port, const char *seconds, int many) {
    static struct histogram times;
    int poll = epoll_create1(0);
    struct shake *shakes = allocate((size_t)many * sizeof *shakes);
    wait_for_go();
    uint64_t start = now(), end = start + nanoseconds(seconds), time, answered = 0;
    for (int i = 0; i < many; i++) begin(&shakes[i], port, poll);
    struct epoll_event events[EVENTS];
    while ((time = now()) < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct shake *shake = events[i].data.ptr;
            if (goes_on(shake)) continue;
            record(&times, now() - shake->began);
            answered++;
            end_of(shake);
            begin(shake, port, poll);
        }
    }
    report((double)(time - start) / 1e9, answered, 0, 0, &times);
}

static void idle(const char *port, int many) {
    char byte = 'x';
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    for (int i = 0; i < many; i++) {
        SSL *tls = connected(port);
        if (SSL_write(tls, &byte, 1) != 1 || SSL_read(tls, &byte, 1) != 1) fail("the first word");
    }
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
}

int main(int count, char **words) {
    raise_limit();
    context = SSL_CTX_new(TLS_client_method());
    if (!context) fail("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (count == 4 && !strcmp(words[1], "bulk")) bulk(words[2], words[3]);
    else if (count == 5 && !strcmp(words[1], "handshakes")) handshakes(words[2], words[3], atoi(words[4]));
    else if (count == 4 && !strcmp(words[1], "idle")) idle(words[2], atoi(words[3]));
    else usage("tls bulk PORT SECONDS, tls handshakes PORT SECONDS CONNECTIONS, or tls idle PORT MANY");
}
