// Claims from a long queue by many workers, on a store as servers use it: what each claim costs.
//   queue_load sqlite|postgresql [JOBS [WORKERS [SECONDS]]]     (10000, 200, 20)
// JOBS are queued, of as many images. Each worker claims, "builds" for one second on average, hears
// from the store once meanwhile, finishes, and claims again; what is finished is queued anew. The
// workers are shared out among 16 threads with a connection each, as calls are among a server's. A
// claim's time counts from when its worker was due, so that a store that cannot keep up shows; not
// in the first two seconds, when each thread connects and prepares its statements.
// Beside it, in the same run, the same for a heartbeat: one row of one table, by its key.
// PostgreSQL is one of the program's own (tests/service/postgres_server.h).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "service/postgres_server.h"
#include "service/queue.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kThreads = 16;
constexpr milliseconds kWarmUp{2000};

struct Load {
  int jobs = 10'000;
  int workers = 200;
  int seconds = 20;
};

struct Times {
  std::vector<double> claims;  // ms
  std::vector<double> heartbeats;
  long empty = 0;
};

double milliseconds_since(Clock::time_point from) {
  return static_cast<double>(
             std::chrono::duration_cast<microseconds>(Clock::now() - from).count()) /
         1000;
}

NewJob job_of(const std::string& image, int round) {
  NewJob job;
  job.image = image;
  job.inputs = "sha256:" + std::to_string(round);
  job.reasons = "content: 1 changed: file";
  job.details = "[]";
  job.trigger = "change";
  return job;
}

// One thread's workers, one step of one of them after the other, each when it is due.
void work(Queue& queue, int thread, const Load& load, Clock::time_point end, Times& times) {
  struct Step {
    Clock::time_point due;
    int worker;
    std::int64_t job = 0;  // that it holds; 0: none
    std::int64_t fence = 0;
    bool heard = false;
    std::string image = {};
    bool operator<(const Step& other) const { return due > other.due; }
  };
  std::mt19937 random(static_cast<unsigned>(thread));
  const auto some = [&](int least, int most) {
    return milliseconds(std::uniform_int_distribution<int>(least, most)(random));
  };
  const auto warm = Clock::now() + kWarmUp;
  std::priority_queue<Step> steps;
  for (int worker = thread; worker < load.workers; worker += kThreads)
    steps.push({Clock::now() + some(0, 1000), worker});
  for (int round = 1; !steps.empty() && steps.top().due < end; ++round) {
    Step step = steps.top();
    steps.pop();
    std::this_thread::sleep_until(step.due);
    if (step.job == 0) {
      const auto job = queue.claim({"worker" + std::to_string(step.worker), {}});
      if (step.due > warm) times.claims.push_back(milliseconds_since(step.due));
      if (!job) ++times.empty;
      if (job) step = {step.due, step.worker, job->id, job->fence, false, job->image};
      step.due = Clock::now() + some(200, 800);
    } else if (!step.heard) {
      queue.heartbeat(step.job, step.fence);
      if (step.due > warm) times.heartbeats.push_back(milliseconds_since(step.due));
      step.heard = true;
      step.due = Clock::now() + some(200, 800);
    } else {
      queue.finish(step.job, step.fence, {JobState::Succeeded, "", "sha256:1"});
      queue.enqueue(job_of(step.image, round * kThreads + thread));
      step = {Clock::now(), step.worker};
    }
    steps.push(step);
  }
}

double quantile(const std::vector<double>& sorted, double part) {
  return sorted.empty()
             ? 0
             : sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(
                                                      static_cast<double>(sorted.size()) * part))];
}

void print(const char* what, std::vector<double> all) {
  std::sort(all.begin(), all.end());
  std::printf("%-11s %7zu  p50 %8.2f ms  p99 %8.2f ms  most %8.2f ms\n", what, all.size(),
              quantile(all, 0.5), quantile(all, 0.99), all.empty() ? 0 : all.back());
}

int run(const std::string& store, const Load& load) {
  const TempDirectory directory;
  const std::string url =
      store == "postgresql" ? PostgresServer::of_this_program().fresh_database() : "";
  const auto open = [&] {
    return url.empty() ? open_sqlite_queue(directory.path()) : open_postgresql_queue(url);
  };
  {
    const auto queue = open();
    for (int i = 0; i < load.jobs; ++i) queue->enqueue(job_of("image" + std::to_string(i), 0));
  }
  std::vector<std::unique_ptr<Queue>> queues;
  for (int i = 0; i < kThreads; ++i) queues.push_back(open());
  std::vector<Times> times(kThreads);
  std::vector<std::thread> threads;
  const auto end = Clock::now() + std::chrono::seconds(load.seconds);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      work(*queues[static_cast<std::size_t>(i)], i, load, end, times[static_cast<std::size_t>(i)]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Times all;
  for (const Times& one : times) {
    all.claims.insert(all.claims.end(), one.claims.begin(), one.claims.end());
    all.heartbeats.insert(all.heartbeats.end(), one.heartbeats.begin(), one.heartbeats.end());
    all.empty += one.empty;
  }
  std::printf("%s: %d jobs queued, %d workers, %d s\n", store.c_str(), load.jobs, load.workers,
              load.seconds);
  print("claims", all.claims);
  print("heartbeats", all.heartbeats);
  if (all.empty > 0) std::printf("%ld claims found nothing\n", all.empty);
  return 0;
}

}  // namespace
}  // namespace imagewright

int main(int argc, char** argv) {
  const std::string store = argc > 1 ? argv[1] : "";
  if (store != "sqlite" && store != "postgresql") {
    std::fprintf(stderr, "usage: queue_load sqlite|postgresql [JOBS [WORKERS [SECONDS]]]\n");
    return 2;
  }
  imagewright::Load load;
  if (argc > 2) load.jobs = std::atoi(argv[2]);
  if (argc > 3) load.workers = std::atoi(argv[3]);
  if (argc > 4) load.seconds = std::atoi(argv[4]);
  return imagewright::run(store, load);
}
