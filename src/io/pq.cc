#include "io/pq.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>

#include "io/error.h"

namespace imagewright {

namespace {

template <typename Function>
void find(void* library, const char* name, Function& function) {
  // (POSIX: what dlsym gives is a function's address, if that is what the name is.)
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    throw Error(Error::Kind::Missing, std::string("libpq is too old: it has no ") + name);
}

}  // namespace

const Pq& pq() {
  static const Pq loaded = [] {
    void* const library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      throw Error(Error::Kind::Missing,
                  fmt::format("for PostgreSQL it takes libpq (Debian: libpq5): {}", dlerror()));
    }
    Pq all;
    find(library, "PQconnectdbParams", all.connect);
    find(library, "PQconnectStartParams", all.connect_start);
    find(library, "PQconnectPoll", all.connect_poll);
    find(library, "PQfinish", all.finish);
    find(library, "PQstatus", all.status);
    find(library, "PQtransactionStatus", all.transaction_status);
    find(library, "PQparameterStatus", all.parameter_status);
    find(library, "PQerrorMessage", all.error_message);
    find(library, "PQsetNoticeProcessor", all.set_notice_processor);
    find(library, "PQsocket", all.socket);
    find(library, "PQconsumeInput", all.consume_input);
    find(library, "PQnotifies", all.notifies);
    find(library, "PQexec", all.exec);
    find(library, "PQprepare", all.prepare);
    find(library, "PQexecPrepared", all.exec_prepared);
    find(library, "PQresultStatus", all.result_status);
    find(library, "PQresultErrorField", all.result_error_field);
    find(library, "PQcmdStatus", all.command_status);
    find(library, "PQclear", all.clear);
    find(library, "PQntuples", all.rows);
    find(library, "PQnfields", all.columns);
    find(library, "PQftype", all.type);
    find(library, "PQgetisnull", all.is_null);
    find(library, "PQgetvalue", all.value);
    find(library, "PQgetlength", all.length);
    find(library, "PQconninfoParse", all.parse);
    find(library, "PQconninfoFree", all.free_parsed);
    find(library, "PQfreemem", all.free_memory);
    return all;
  }();
  return loaded;
}

}  // namespace imagewright
