// A histogram of times, as HdrHistogram has it: 64 buckets for each power of two, so that no time is off by more than
// 1.6 %, however many there are and however long the run.
#ifndef HISTOGRAM_H
#define HISTOGRAM_H
#include "common.h"

enum { FINE = 6, EACH = 1 << FINE, BUCKETS = (64 - FINE + 1) * EACH };

struct histogram {
    uint64_t counts[BUCKETS], total;
};

static inline void record(struct histogram *histogram, uint64_t nanoseconds) {
    unsigned shift = nanoseconds < EACH ? 0 : 63u - (unsigned)__builtin_clzll(nanoseconds) - FINE;
    histogram->counts[shift * EACH + (unsigned)(nanoseconds >> shift)]++;
    histogram->total++;
}

// The time in milliseconds that this share of all times does not exceed.
static inline double quantile(const struct histogram *histogram, double share) {
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)histogram->total);
    for (unsigned at = 0; at < BUCKETS; at++) {
        seen += histogram->counts[at];
        if (seen <= wanted) continue;
        unsigned shift = at < 2 * EACH ? 0 : at / EACH - 1;
        return (double)((uint64_t)(at - shift * EACH + 1) << shift) / 1e6;
    }
    return 0;
}

// Says that all is prepared, and waits until it is told to go by a byte of input: what it took to come so far is not the
// server's work.
static inline void wait_for_go(void) {
    char go;
    puts("ready");
    fflush(stdout);
    if (read(0, &go, 1) != 1) exit(1);
}

// What every generator prints at its end; a figure that it does not have is 0.
static inline void report(double seconds, uint64_t answered, uint64_t bytes, uint64_t lost, struct histogram *times) {
    printf("{\"answered\":%llu,\"seconds\":%.6f,\"rate\":%.3f,\"bytes\":%llu,\"lost\":%llu", (unsigned long long)answered,
           seconds, (double)answered / seconds, (unsigned long long)bytes, (unsigned long long)lost);
    if (times && times->total)
        printf(",\"latency_ms\":{\"p50\":%.6f,\"p99\":%.6f}", quantile(times, 0.5), quantile(times, 0.99));
    printf("}\n");
}

#endif
