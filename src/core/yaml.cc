// The text is read in two steps: its characters, then its structure, into a flat vector of nodes in
// which an alias stays a link. So the tree is never larger than the text; only `value` follows
// links, and it counts.
#include "core/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "core/shown.h"
#include "core/utf8.h"

namespace imagewright {

void fail(Place place, std::string message) {
  throw YamlError{{std::move(message), place.line, place.column}};
}

namespace {

/// How many characters `bytes` of UTF-8 are.
int characters(std::string_view bytes) {
  return static_cast<int>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

Place place_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
          characters(before.substr(line_start)) + 1};
}

/// The length of the UTF-8 sequence at the start of `text`, which is not empty; 0: not UTF-8.
std::size_t utf8_length(std::string_view text) {
  const auto point = first_code_point(text);
  return point ? point->size : 0;
}

/// yaml-cpp makes one byte of `\N` and of `\_`, which is no UTF-8. As all else that it gives is, a
/// character cannot begin with either.
std::string with_whole_characters(const std::string& text) {
  std::string whole;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(std::string_view(text).substr(at));
    if (length == 0) whole += '\xc2';
    whole.append(text, at, std::max<std::size_t>(length, 1));
    at += std::max<std::size_t>(length, 1);
  }
  return whole;
}

/// Refuses what YAML does not allow in a text. yaml-cpp would let it pass, and takes 0x04 for the
/// end.
void check_characters(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) fail(place_at(text, at), "the file is not UTF-8 here");
    const auto first = static_cast<unsigned char>(text[at]);
    const bool line_end = first == '\n' || (first == '\r' && text.substr(at, 2) == "\r\n");
    if ((first < 0x20 && first != '\t' && !line_end) || first == 0x7f) {
      fail(place_at(text, at),
           fmt::format("a control character (0x{:02x}) has no place in YAML", first));
    }
    at += length;
  }
}

constexpr std::string_view kTabWords = "a tab in the indentation; YAML takes spaces there";
constexpr std::string_view kQuoteWords = "a quoted text is never closed";

/// yaml-cpp's words are for those who know its scanner. These are for those who wrote the file.
std::string readable(std::string_view message) {
  static const std::vector<std::pair<std::string_view, std::string_view>> kWords = {
      {YAML::ErrorMsg::TAB_IN_INDENTATION, kTabWords},
      {YAML::ErrorMsg::END_OF_MAP_FLOW, "a '{' is not closed by '}'"},
      {YAML::ErrorMsg::END_OF_MAP, "the indentation fits no line above"},
      {YAML::ErrorMsg::END_OF_SEQ_FLOW, "a '[' is not closed by ']'"},
      {YAML::ErrorMsg::END_OF_SEQ, "the indentation fits no line above, or a '-' is missing"},
      {YAML::ErrorMsg::MAP_VALUE,
       "a ':' where no value can begin; is the indentation right, and a text with ': ' in quotes?"},
      {YAML::ErrorMsg::MAP_KEY, "a key where none can stand; check the indentation"},
      {YAML::ErrorMsg::BLOCK_ENTRY, "a '- ' where no list can begin; check the indentation"},
      {YAML::ErrorMsg::FLOW_END, "a ']' or '}' closes nothing"},
      {YAML::ErrorMsg::EOF_IN_SCALAR, kQuoteWords},
      {YAML::ErrorMsg::DOC_IN_SCALAR, "a quoted text is not closed before '---' or '...'"},
      {YAML::ErrorMsg::UNKNOWN_TOKEN, "a text that begins with this character needs quotes"},
      {YAML::ErrorMsg::UNKNOWN_ANCHOR, "no anchor of this name stands above"},
      {YAML::ErrorMsg::INVALID_ESCAPE,
       "no such escape in a double-quoted text; a backslash is written twice there"},
  };
  for (const auto& [theirs, ours] : kWords) {
    if (message.substr(0, theirs.size()) == theirs) return std::string(ours);
  }
  // Some of them quote the file.
  return excerpt(message);
}

[[noreturn]] void fail_as_yaml(Place place, std::string_view words) {
  fail(place, fmt::format("not valid YAML: {}", words));
}

/// Says what yaml-cpp found, or the tab that is the reason more often than it notices.
[[noreturn]] void fail_readably(const YAML::Exception& error, std::string_view text) {
  if (error.mark.is_null()) fail_as_yaml({}, readable(error.msg));
  const auto at = std::min(static_cast<std::size_t>(error.mark.pos), text.size());
  const std::size_t line_start = text.substr(0, at).rfind('\n') + 1;  // npos + 1 is 0
  const std::string_view line = text.substr(line_start);
  const std::size_t tab = line.substr(0, line.find_first_not_of(" \t-")).find('\t');
  if (tab != std::string_view::npos) fail_as_yaml(place_at(text, line_start + tab), kTabWords);
  fail_as_yaml(place_at(text, at), readable(error.msg));
}

/// Refuses a quoted text that begins at `at` (behind its anchor and tag) and is not closed.
void check_quote(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
    at = std::min(text.find_first_of(" \t\r\n", at), text.size());
    at = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
  }
  const std::size_t start = at;
  if (at == text.size() || (text[at] != '"' && text[at] != '\'')) return;
  const char quote = text[at];
  for (++at; at < text.size(); ++at) {
    const bool doubled = quote == '\'' && text.substr(at, 2) == "''";
    if (doubled || (quote == '"' && text[at] == '\\')) {
      ++at;
    } else if (text[at] == quote) {
      return;
    }
  }
  fail_as_yaml(place_at(text, start), kQuoteWords);
}

}  // namespace

/// Takes yaml-cpp's events and makes nodes of them.
class Yaml::Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, std::vector<YamlNode>& nodes) : text_(text), nodes_(nodes) {}

  void run() {
    std::istringstream stream{std::string(text_)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(*this)) {
    }
    // yaml-cpp closes a quote at the end of the file where one is missing, and would so make one
    // value of all the images behind it. Only the last quoted text can be such a one.
    if (last_quoted_) check_quote(text_, *last_quoted_);
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    // yaml-cpp takes what it cannot fit into a document for the next one.
    const Place place = place_of(mark);
    if (text_.substr(offset_of(mark), 3) != "---") {
      fail_as_yaml(place, "this belongs to nothing above it; check the indentation");
    }
    fail(place, "a second document begins here; a file is one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode& node = add(YamlNode::Kind::Null, mark, "", anchor);
    if (open_.empty()) return;
    // The mark of a value that is not there is what comes next: its key says more.
    const YamlNode& parent = nodes_[open_.back()];
    const std::size_t count = parent.children.size();
    if (parent.kind != YamlNode::Kind::Map || count % 2 != 0) return;
    const Place key = nodes_[parent.children[count - 2]].place;
    if (key.line != node.place.line) node.place = key;
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(YamlNode::Kind::Alias, mark, "", 0).target = anchors_.at(anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    YamlNode& node = add(YamlNode::Kind::Text, mark, tag, anchor);
    node.plain = tag == "?";
    node.text = node.plain ? text : with_whole_characters(text);
    if (!node.plain) last_quoted_ = offset_of(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    begin(YamlNode::Kind::List, mark, tag, anchor);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    begin(YamlNode::Kind::Map, mark, tag, anchor);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  YamlNode& add(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor) {
    const std::size_t index = nodes_.size();
    if (!open_.empty()) nodes_[open_.back()].children.push_back(index);
    if (anchor != 0) anchors_[anchor] = index;
    YamlNode& node = nodes_.emplace_back();
    node.kind = kind;
    node.place = place_of(mark);
    if (tag != "?" && tag != "!" && tag.rfind("tag:yaml.org,2002:", 0) != 0) node.tag = tag;
    return node;
  }

  void begin(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
             YAML::anchor_t anchor) {
    if (open_.size() >= kMaxYamlDepth) {
      fail(place_of(mark),
           fmt::format("lists and maps are nested more than {} deep", kMaxYamlDepth));
    }
    add(kind, mark, tag, anchor);
    open_.push_back(nodes_.size() - 1);
  }

  std::size_t offset_of(const YAML::Mark& mark) const {
    return std::min(static_cast<std::size_t>(mark.pos), text_.size());
  }

  /// Events come in the text's order: counting on from the last place keeps long lines cheap.
  Place place_of(const YAML::Mark& mark) {
    const std::size_t offset = offset_of(mark);
    const std::size_t line_start = offset - std::min(offset, static_cast<std::size_t>(mark.column));
    if (counted_.line != mark.line + 1 || counted_to_ > offset) {
      counted_ = {mark.line + 1, 1};
      counted_to_ = line_start;
    }
    counted_.column += characters(text_.substr(counted_to_, offset - counted_to_));
    counted_to_ = offset;
    return counted_;
  }

  std::string_view text_;
  std::vector<YamlNode>& nodes_;
  std::vector<std::size_t> open_;                  ///< the lists and maps we are in
  std::map<YAML::anchor_t, std::size_t> anchors_;  ///< to the node of each
  int documents_ = 0;
  std::optional<std::size_t> last_quoted_;  ///< the offset of the last text with quotes, `|` or `>`
  Place counted_;                           ///< the place of the offset `counted_to_`
  std::size_t counted_to_ = 0;
};

namespace {

/// A tag wants what we do not know; an escape ("\0") can bring in what no argument of a program can
/// hold.
void check_usable(const YamlValue& value) {
  if (!value.node->tag.empty()) {
    fail(value.place, fmt::format("the tag {} means nothing here", shown(value.node->tag)));
  }
  if (value.node->text.find('\0') != std::string::npos) {
    fail(value.place, "a text cannot hold a NUL character");
  }
}

void check_is(bool is, const YamlValue& value, std::string_view what, std::string_view kind) {
  if (!is) fail(value.place, fmt::format("{} must be {}", what, kind));
  check_usable(value);
}

/// Most maps have few keys: those are looked through, which is faster than hashing them.
class KeySet {
 public:
  /// False: it is there already.
  bool insert(std::string_view key) {
    if (!many_.empty()) return many_.insert(key).second;
    if (std::find(few_.begin(), few_.end(), key) != few_.end()) return false;
    few_.push_back(key);
    if (few_.size() > kFew) many_.insert(few_.begin(), few_.end());
    return true;
  }

 private:
  static constexpr std::size_t kFew = 16;
  std::vector<std::string_view> few_;
  std::unordered_set<std::string_view> many_;
};

[[noreturn]] void fail_twice(std::string_view key, Place place) {
  fail(place, fmt::format("the key {} is given twice", shown(key)));
}

}  // namespace

Yaml::Yaml(std::string_view text) {
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);  // a byte order mark
  check_characters(text);
  try {
    Builder(text, nodes_).run();
  } catch (const YAML::Exception& error) {
    fail_readably(error, text);
  }
}

const std::string& Yaml::text(const YamlValue& value, std::string_view what) {
  count(value, value.node->text.size());
  check_is(value.is_text(), value, what, "text");
  return value.node->text;
}

const std::string& Yaml::text(const YamlEntry& entry) {
  return text(entry.value, entry.value.is_text() ? std::string() : shown(entry.key));
}

std::vector<YamlValue> Yaml::items(const YamlValue& list, std::string_view what) {
  check_is(list.is_list(), list, what, "a list");
  std::vector<YamlValue> items;
  for (std::size_t index : list.node->children) items.push_back(value(index));
  return items;
}

std::vector<YamlEntry> Yaml::unmerged_entries(const YamlValue& map, std::string_view what) {
  check_is(map.is_map(), map, what, "a map");
  std::vector<YamlEntry> entries;
  KeySet seen;
  for (std::size_t i = 0; i + 1 < map.node->children.size(); i += 2) {
    const YamlValue key = value(map.node->children[i]);
    if (!key.is_text()) continue;
    count(key, key.node->text.size());
    if (!seen.insert(key.node->text)) fail_twice(key.node->text, key.place);
    entries.push_back({key.node->text, key.place, value(map.node->children[i + 1])});
  }
  return entries;
}

/// The entries found so far, and their keys.
struct Yaml::Merge {
  std::vector<YamlEntry> entries;
  KeySet taken;
};

std::vector<YamlEntry> Yaml::entries(const YamlValue& map, std::string_view what) {
  check_is(map.is_map(), map, what, "a map");
  Merge result;
  merge(map, result, 0);
  return std::move(result.entries);
}

void Yaml::merge(const YamlValue& map, Merge& result, std::size_t depth) {
  constexpr std::string_view kWanted = "a map or a list of maps";
  check_is(map.is_map(), map, "'<<'", kWanted);
  if (depth > kMaxYamlDepth) {
    fail(map.place, fmt::format("merge keys ('<<') lead more than {} deep", kMaxYamlDepth));
  }
  KeySet own;
  std::optional<YamlValue> merged;
  for (std::size_t i = 0; i + 1 < map.node->children.size(); i += 2) {
    const YamlValue key = value(map.node->children[i]);
    text(key, "a key");
    if (!own.insert(key.node->text)) fail_twice(key.node->text, key.place);
    const YamlValue content = value(map.node->children[i + 1]);
    if (key.node->plain && key.node->text == "<<") {
      merged = content;
    } else if (result.taken.insert(key.node->text)) {
      result.entries.push_back({key.node->text, key.place, content});
    }
  }
  if (!merged) return;
  if (!merged->is_list()) return merge(*merged, result, depth + 1);
  for (const YamlValue& item : items(*merged, "'<<'")) merge(item, result, depth + 1);
}

YamlValue Yaml::value(std::size_t index) {
  const YamlNode& used = nodes_[index];
  const YamlNode& node = used.kind == YamlNode::Kind::Alias ? nodes_[used.target] : used;
  const YamlValue value{&node, used.place};
  ++values_;
  count(value, 0);
  return value;
}

void Yaml::count(const YamlValue& value, std::size_t bytes) {
  bytes_ += bytes;
  if (values_ <= max_values_ && bytes_ <= kMaxYamlBytes) return;
  fail(value.place, fmt::format("with its aliases expanded, the file has more than {} values or {} "
                                "bytes up to here",
                                max_values_, kMaxYamlBytes));
}

}  // namespace imagewright
