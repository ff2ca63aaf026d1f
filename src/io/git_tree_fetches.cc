#include "io/git_tree_fetches.h"

#include <utility>
#include <vector>

namespace imagewright {

namespace {

// More are no command line that every system takes.
constexpr std::size_t kMostAtOnce = 500;

}  // namespace

bool GitTreeFetches::fetch(const GitRemote& remote, const std::string& tree) {
  std::unique_lock lock(mutex_);
  Queue& queue = queues_[remote.url];
  queue.ended.erase(tree);
  queue.waiting.insert(tree);
  changed_.wait(lock, [&] { return !queue.busy || queue.ended.contains(tree); });
  if (const auto ended = queue.ended.find(tree); ended != queue.ended.end()) {
    if (ended->second.failure) std::rethrow_exception(ended->second.failure);
    return ended->second.is_there;
  }
  queue.busy = true;
  std::vector<std::string> trees;
  // (Its own is among them: nobody else's fetch is for it.)
  trees.push_back(tree);
  queue.waiting.erase(tree);
  while (!queue.waiting.empty() && trees.size() < kMostAtOnce)
    trees.push_back(queue.waiting.extract(queue.waiting.begin()).value());
  lock.unlock();

  std::vector<bool> are_there(trees.size());
  std::exception_ptr failure;
  try {
    are_there = GitMirror(program_, cache_, remote).fetch_trees(trees);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  for (std::size_t i = 0; i < trees.size(); ++i) queue.ended[trees[i]] = {are_there[i], failure};
  queue.busy = false;
  changed_.notify_all();
  if (failure) std::rethrow_exception(failure);
  return are_there.front();
}

}  // namespace imagewright
