#include "veil/parallel.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace veil {
namespace {

std::atomic<int> process_cap{0};

int positive_from_environment(const char* name, int fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  const long value = std::strtol(text, nullptr, 10);
  return value > 0 && value < 1 << 16 ? static_cast<int>(value) : fallback;
}

int affinity_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int cgroup_quota(int fallback) {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(v2 >> quota >> period)) {
    std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(quota_v1 >> quota) || !(period_v1 >> period)) return fallback;
  }
  const double limit = std::strtod(quota.c_str(), nullptr);  // "max" and "-1" mean no limit
  if (limit <= 0 || period <= 0) return fallback;
  return std::max(1, static_cast<int>(limit / period));
}

int machine_threads() {
  static const int count = [] {
    const int cpus = affinity_count();
    const int veil = positive_from_environment("VEIL_NUM_THREADS", cpus);
    const int omp = positive_from_environment("OMP_NUM_THREADS", cpus);
    return std::min({cpus, cgroup_quota(cpus), veil, omp});
  }();
  return count;
}

class Job {
 public:
  Job(std::size_t chunks, ChunkFunction function, Subnormals subnormals)
      : chunks_(chunks), function_(function), subnormals_(subnormals) {}

  void run() {
    const FloatMode mode(subnormals_);
    for (std::size_t i = next_.fetch_add(1); i < chunks_; i = next_.fetch_add(1)) {
      try {
        function_(i);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(chunks_);
      }
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::size_t chunks_;
  ChunkFunction function_;
  Subnormals subnormals_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

class Pool {
 public:
  // Runs the job on the caller and up to `helpers` workers; one job at a time per pool.
  void run(Job& job, int helpers) {
    const std::lock_guard one_job(job_mutex_);
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(workers_.size()) < helpers) workers_.emplace_back([this] { work(); });
      job_ = &job;
      wanted_ = helpers;
    }
    wake_.notify_all();
    job.run();
    std::unique_lock lock(mutex_);
    job_ = nullptr;
    wanted_ = 0;
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return wanted_ > 0; });
      Job* job = job_;
      --wanted_;
      ++running_;
      lock.unlock();
      job->run();
      lock.lock();
      if (--running_ == 0) done_.notify_all();
    }
  }

  std::mutex job_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  Job* job_ = nullptr;
  int wanted_ = 0;
  int running_ = 0;
};

// Never destroyed: workers may outlive static destruction, and a forked child holds a copy whose
// threads do not exist, which must not be joined.
std::atomic<Pool*> pool{nullptr};
thread_local bool inside_pool = false;

Pool& shared_pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });
  (void)registered;
  Pool* current = pool.load();
  if (current != nullptr) return *current;
  auto fresh = std::make_unique<Pool>();  // no lock here: a fork could leave it held for ever
  if (pool.compare_exchange_strong(current, fresh.get())) return *fresh.release();
  return *current;
}

}  // namespace

int default_threads() {
  const int cap = process_cap.load(std::memory_order_relaxed);
  return cap > 0 ? std::min(cap, machine_threads()) : machine_threads();
}

void set_num_threads(int n) {
  if (n < 0)
    throw std::invalid_argument("n: expected 0 (no cap) or more, got " + std::to_string(n));
  process_cap.store(n, std::memory_order_relaxed);
}

void parallel_for(std::size_t chunks, int threads, ChunkFunction function, Subnormals subnormals) {
  const auto useful = static_cast<int>(std::min<std::size_t>(chunks, 1U << 16));
  const int total = std::min(threads, useful);
  // A chunk that calls parallel_for again runs it alone: waiting for the pool would deadlock.
  if (total <= 1 || inside_pool) {
    const FloatMode mode(subnormals);
    for (std::size_t i = 0; i < chunks; ++i) function(i);
    return;
  }
  const auto marked = [&function](std::size_t chunk) {
    inside_pool = true;
    function(chunk);
  };
  Job job(chunks, marked, subnormals);
  shared_pool().run(job, total - 1);
  inside_pool = false;
  job.rethrow();
}

}  // namespace veil
