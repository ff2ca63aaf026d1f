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
  queue.fetched.erase(tree);
  queue.waiting.insert(tree);
  changed_.wait(lock, [&] { return !queue.busy || queue.fetched.contains(tree); });
  if (const auto done = queue.fetched.find(tree); done != queue.fetched.end()) return done->second;
  queue.busy = true;
  std::vector<std::string> trees;
  // (Its own is among them: nobody else's fetch is for it.)
  trees.push_back(tree);
  queue.waiting.erase(tree);
  while (!queue.waiting.empty() && trees.size() < kMostAtOnce)
    trees.push_back(queue.waiting.extract(queue.waiting.begin()).value());
  lock.unlock();

  std::vector<bool> are_there;
  const auto finish = [&] {
    lock.lock();
    for (std::size_t i = 0; i < are_there.size(); ++i) queue.fetched[trees[i]] = are_there[i];
    // (After an error each of the others tries for itself.)
    if (are_there.empty()) queue.waiting.insert(trees.begin() + 1, trees.end());
    queue.busy = false;
    changed_.notify_all();
  };
  try {
    are_there = GitMirror(program_, cache_, remote).fetch_trees(trees);
  } catch (...) {
    finish();
    throw;
  }
  finish();
  return are_there.front();
}

}  // namespace imagewright
