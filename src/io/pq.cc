#include "io/pq.h"

#include "io/library.h"

namespace imagewright {

const Pq& pq() {
  static const Pq loaded = [] {
    const Library library("libpq.so.5", "libpq", "for PostgreSQL it takes libpq (Debian: libpq5)");
    Pq all;
    library.find("PQconnectdbParams", all.connect);
    library.find("PQconnectStartParams", all.connect_start);
    library.find("PQconnectPoll", all.connect_poll);
    library.find("PQfinish", all.finish);
    library.find("PQstatus", all.status);
    library.find("PQtransactionStatus", all.transaction_status);
    library.find("PQparameterStatus", all.parameter_status);
    library.find("PQerrorMessage", all.error_message);
    library.find("PQsetNoticeProcessor", all.set_notice_processor);
    library.find("PQsocket", all.socket);
    library.find("PQconsumeInput", all.consume_input);
    library.find("PQnotifies", all.notifies);
    library.find("PQexec", all.exec);
    library.find("PQprepare", all.prepare);
    library.find("PQexecPrepared", all.exec_prepared);
    library.find("PQresultStatus", all.result_status);
    library.find("PQresultErrorField", all.result_error_field);
    library.find("PQcmdStatus", all.command_status);
    library.find("PQclear", all.clear);
    library.find("PQntuples", all.rows);
    library.find("PQnfields", all.columns);
    library.find("PQftype", all.type);
    library.find("PQgetisnull", all.is_null);
    library.find("PQgetvalue", all.value);
    library.find("PQgetlength", all.length);
    library.find("PQconninfoParse", all.parse);
    library.find("PQconninfoFree", all.free_parsed);
    library.find("PQfreemem", all.free_memory);
    return all;
  }();
  return loaded;
}

}  // namespace imagewright
