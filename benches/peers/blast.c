// blast: a closed loop of UDP DNS queries from one thread, and what came of it as `key value` lines.
//
// blast -f QUERIES -p PORT [-t SECONDS] [-n SOCKETS] [-w QUERIES_IN_FLIGHT] [-P SERVER_PID]...
// QUERIES: records of a 16-bit length (big endian) and a message; IDs are written over. Every query sent is kept track
// of by socket and ID, so that a lost answer is one that never came, and latency is measured for each answer.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, ROOM = 2048, MAX_SOCKETS = 64, MAX_PIDS = 16, SLOTS = 1 << 16, BUCKETS = 1 << 17 };

// One in-flight query per ID and socket: when it was sent, in nanoseconds; 0 when none is.
struct lane {
  int fd, in_flight;
  uint16_t next_id;
  uint64_t sent_at[SLOTS];
};

static struct lane lanes[MAX_SOCKETS];
static uint32_t latency[BUCKETS];  // by microseconds
static uint8_t in[BATCH][ROOM], out[BATCH][ROOM];
static struct iovec in_at[BATCH], out_at[BATCH];
static struct mmsghdr in_headers[BATCH], out_headers[BATCH];
static uint64_t sent, answered, expired, rcodes[16];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// User and system time of all threads of a process, in seconds, to the nanosecond where the scheduler tells.
static double cpu_s(const int *pids, int count) {
  char path[64], line[64];
  double total = 0;
  for (int p = 0; p < count; p++) {
    snprintf(path, sizeof path, "/proc/%d/task", pids[p]);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
      char schedstat[400];
      snprintf(schedstat, sizeof schedstat, "%s/%s/schedstat", path, task->d_name);
      FILE *file = task->d_name[0] == '.' ? 0 : fopen(schedstat, "r");
      if (file && fgets(line, sizeof line, file)) total += strtoull(line, 0, 10) / 1e9;
      if (file) fclose(file);
    }
    if (tasks) closedir(tasks);
  }
  return total;
}

static void take(struct lane *lane) {
  int count;
  while ((count = recvmmsg(lane->fd, in_headers, BATCH, MSG_DONTWAIT, 0)) > 0) {
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++) {
      if (in_headers[i].msg_len < 12) continue;
      uint64_t *slot = &lane->sent_at[in[i][0] << 8 | in[i][1]];
      if (!*slot) continue;  // came too late, or twice
      uint64_t us = (now - *slot) / 1000;
      latency[us < BUCKETS ? us : BUCKETS - 1]++;
      *slot = 0;
      lane->in_flight--;
      answered++;
      rcodes[in[i][3] & 15]++;
    }
    if (count < BATCH) break;
  }
}

// Gives up what has had no answer for a second, so that a lost datagram does not hold its place for ever.
static void expire(struct lane *lane, uint64_t now) {
  if (!lane->in_flight) return;
  for (int id = 0; id < SLOTS; id++)
    if (lane->sent_at[id] && now - lane->sent_at[id] > 1000000000ull) { lane->sent_at[id] = 0; lane->in_flight--; expired++; }
}

static uint32_t percentile(double share) {
  uint64_t all = 0, below = 0;
  for (int i = 0; i < BUCKETS; i++) all += latency[i];
  for (int i = 0; i < BUCKETS; i++) if ((below += latency[i]) >= all * share) return i;
  return BUCKETS;
}

int main(int argc, char **argv) {
  const char *file = 0;
  int port = 0, sockets = 8, window = 400, pids[MAX_PIDS], pid_count = 0, option;
  double seconds = 3;
  while ((option = getopt(argc, argv, "f:p:t:n:w:P:")) != -1) switch (option) {
    case 'f': file = optarg; break;
    case 'p': port = atoi(optarg); break;
    case 't': seconds = atof(optarg); break;
    case 'n': sockets = atoi(optarg); break;
    case 'w': window = atoi(optarg); break;
    case 'P': if (pid_count < MAX_PIDS) pids[pid_count++] = atoi(optarg); break;
    default: return 2;
  }
  FILE *queries = file ? fopen(file, "rb") : 0;
  if (!queries || !port || sockets < 1 || sockets > MAX_SOCKETS) { fprintf(stderr, "blast: -f QUERIES -p PORT are needed\n"); return 2; }
  fseek(queries, 0, SEEK_END);
  long size = ftell(queries), at = 0;
  rewind(queries);
  uint8_t *data = malloc(size);
  if (fread(data, 1, size, queries) != (size_t)size || size < 14) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int s = 0; s < sockets; s++) {
    int octets = 8 << 20;
    lanes[s].fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(lanes[s].fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    if (connect(lanes[s].fd, (void *)&to, sizeof to)) { perror("connect"); return 2; }
  }
  for (int i = 0; i < BATCH; i++) {
    in_at[i] = (struct iovec){in[i], ROOM};
    in_headers[i].msg_hdr = (struct msghdr){.msg_iov = &in_at[i], .msg_iovlen = 1};
    out_headers[i].msg_hdr = (struct msghdr){.msg_iov = &out_at[i], .msg_iovlen = 1};
  }
  int share = window / sockets > 0 ? window / sockets : 1;
  double cpu_before = cpu_s(pids, pid_count), own_before = clock() / (double)CLOCKS_PER_SEC;
  uint64_t start = now_ns(), end = start + seconds * 1e9, swept = start, now;
  while ((now = now_ns()) < end) {
    for (int s = 0; s < sockets; s++) {
      struct lane *lane = &lanes[s];
      take(lane);
      int room = share - lane->in_flight;
      if (room < (share + 3) / 4) continue;
      if (room > BATCH) room = BATCH;
      now = now_ns();
      for (int i = 0; i < room; i++) {
        if (at + 2 > size) at = 0;
        int len = data[at] << 8 | data[at + 1];
        memcpy(out[i], data + at + 2, len);
        at += 2 + len;
        if (at >= size) at = 0;
        while (lane->sent_at[lane->next_id]) lane->next_id++;
        out[i][0] = lane->next_id >> 8, out[i][1] = lane->next_id;
        lane->sent_at[lane->next_id++] = now;
        out_at[i] = (struct iovec){out[i], len};
      }
      int count = sendmmsg(lane->fd, out_headers, room, 0);
      for (int i = count < 0 ? 0 : count; i < room; i++) lane->sent_at[out[i][0] << 8 | out[i][1]] = 0;
      if (count > 0) lane->in_flight += count, sent += count;
    }
    if (now - swept > 100000000ull) { for (int s = 0; s < sockets; s++) expire(&lanes[s], now); swept = now; }
  }
  double elapsed = (now_ns() - start) / 1e9, cpu = cpu_s(pids, pid_count) - cpu_before, own = clock() / (double)CLOCKS_PER_SEC - own_before;
  uint64_t in_time = answered, rest = now_ns() + 500000000ull;
  while (now_ns() < rest) for (int s = 0; s < sockets; s++) take(&lanes[s]);
  printf("seconds %.3f\nanswers %lu\nper_second %.0f\nsent %lu\nlost %lu\np50_us %u\np99_us %u\nmax_us %u\nown_cpu %.2f\n", elapsed,
         in_time, in_time / elapsed, sent, sent - answered, percentile(.5), percentile(.99), percentile(1), own / elapsed);
  for (int rcode = 0; rcode < 16; rcode++) if (rcodes[rcode]) printf("rcode%d %lu\n", rcode, rcodes[rcode]);
  if (pid_count) printf("cpu_us %.4f\ncpu_share %.2f\n", cpu * 1e6 / (in_time ? in_time : 1), cpu / elapsed);
  return 0;
}
