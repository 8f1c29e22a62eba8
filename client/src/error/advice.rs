//! What to do about a refusal, for whoever reads it in a log at night.

/// What helps against an answer of the server that begins with `code`; `None`: its own words must do.
pub(super) fn advice(code: &str, detail: &str) -> Option<&'static str> {
    Some(match code {
        "NOAUTH" => "the server wants a password: --redis redis://:PASSWORD@host, or redis://USER:PASSWORD@host",
        "WRONGPASS" | "AUTH" => "the user or the password in --redis (or REDIS_URL) is not, or no longer, the server's",
        "NOPERM" => {
            "the user in --redis may not do this; on the server: ACL SETUSER user ~queue +mq.push +mq.claim +mq.ack \
             +mq.fail +mq.extend +mq.release +mq.leader +mq.seq +mq.info +mq.drainerrors +mq.redrive +mq.peek"
        }
        "OOM" => "the server's memory is full: raise its maxmemory, or make room; handlers and getErrors go on",
        "BUSY" => "a script or a function runs for too long: on the server, SCRIPT KILL or FUNCTION KILL ends it",
        "MISCONF" => "the server cannot write to its disk: look at its disk and its log",
        "NOREPLICAS" => "fewer replicas are in step than min-replicas-to-write asks for: look at the server's replicas",
        "LOADING" => "the server has just started; it serves once its data is loaded",
        "READONLY" | "UNBLOCKED" => {
            "this server is a replica: --redis must lead to the primary; redis+sentinel://host:port/master always does"
        }
        "MASTERDOWN" => "this server is a replica that has lost its primary: --redis must lead to the primary",
        "CLUSTERDOWN" => "the cluster is not whole: redis-cli CLUSTER INFO tells why",
        "DENIED" => {
            "the server takes connections from its own host only: give it a password, or bind and protected-mode no"
        }
        "ERR" if detail.starts_with("max number of clients") => "raise the server's maxclients, or end clients",
        "ERR" if detail.starts_with("DB index") => "the number of the database in --redis is too high",
        _ => return None,
    })
}
