// A reply as the bytes that begin it. Knows nothing of how they are sent.
#pragma once

#include <string>
#include <string_view>

#include "service/http_server.h"

namespace imagewright {

/// `{"error": sentence}`, as the server itself replies to what it refuses.
HttpReply error_reply(int status, std::string_view sentence);

enum class HttpFraming {
  Length,    ///< Content-Length
  Chunked,   ///< as long as chunks come
  UntilEnd,  ///< as long as the connection is open
};

/// The status line and all headers, with the empty line that ends them. Throws
/// std::invalid_argument where the reply has a header that would end its line or that says how long
/// it is, or a status that is none.
std::string reply_head(const HttpReply& reply, HttpFraming framing, bool keep_alive,
                       bool is_http_1_0);

/// May a reply with this status have a body?
bool has_body(int status);

/// The bytes as one chunk of a chunked body. "" ends the body.
std::string as_chunk(std::string_view bytes);

}  // namespace imagewright
