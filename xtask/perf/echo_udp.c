// echo_udp PORT one|batch|trains: a UDP echo, the reference of UDP servers.
//   one     recvfrom and sendto for each datagram
//   batch   recvmmsg and sendmmsg, up to 64 at a time
//   trains  the same with GRO and GSO: what the kernel has joined goes back joined
#include "common.h"
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { BATCH = 64 };

static void one_at_a_time(int socket) {
    static char datagram[BLOCK];
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(socket, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &length);
        if (got >= 0) sendto(socket, datagram, (size_t)got, 0, (struct sockaddr *)&from, length);
    }
}

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in peers[BATCH];
    union control controls[BATCH];
};

static void make_room(struct batch *batch, char (*datagrams)[BLOCK], int trains) {
    for (int i = 0; i < BATCH; i++) {
        batch->parts[i] = (struct iovec){datagrams[i], BLOCK};
        batch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->peers[i],
            .msg_namelen = sizeof batch->peers[i],
            .msg_iov = &batch->parts[i],
            .msg_iovlen = 1,
            .msg_control = trains ? &batch->controls[i] : NULL,
            .msg_controllen = trains ? sizeof batch->controls[i] : 0,
        };
    }
}

// The kernel says how long each datagram of a train is, and is told the same on the way back.
static void turn_round(struct msghdr *message, struct iovec *part, unsigned length) {
    part->iov_len = length;
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    int each = 0;
    if (control && control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO)
        memcpy(&each, CMSG_DATA(control), sizeof each);
    message->msg_controllen = 0;
    if (each <= 0 || (unsigned)each >= length) return;
    uint16_t segment = (uint16_t)each;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
    message->msg_controllen = CMSG_SPACE(sizeof segment);
}

static void in_batches(int socket, int trains) {
    static char datagrams[BATCH][BLOCK];
    static struct batch batch;
    for (;;) {
        make_room(&batch, datagrams, trains);
        int got = recvmmsg(socket, batch.messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < got; i++)
            turn_round(&batch.messages[i].msg_hdr, &batch.parts[i], batch.messages[i].msg_len);
        for (int sent = 0; sent < got;) {
            int now = sendmmsg(socket, batch.messages + sent, (unsigned)(got - sent), 0);
            // One that cannot be sent is left out, as a network would.
            sent += now > 0 ? now : 1;
        }
    }
}

int main(int count, char **words) {
    if (count != 3) usage("echo_udp PORT one|batch|trains");
    struct sockaddr_in address = loopback(words[1]);
    int room = 4 << 20, trains = !strcmp(words[2], "trains");
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(server, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (trains) switch_on(server, SOL_UDP, UDP_GRO);
    if (!strcmp(words[2], "one")) one_at_a_time(server);
    in_batches(server, trains);
}
