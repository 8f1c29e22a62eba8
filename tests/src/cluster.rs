//! A cluster of two.

use crate::{Conn, Server, until};

/// Two nodes that know each other; the first owns every slot.
///
/// # Panics
/// If they do not come together.
#[must_use]
#[track_caller]
pub fn two_nodes() -> [Server; 2] {
    let nodes = [Server::builder().cluster().start(), Server::builder().cluster().start()];
    let bus_port = |server: &Server| {
        let nodes = server.connect().text("CLUSTER NODES");
        let address = nodes.split(['@', ' ', ',']).nth(2).expect("an address").to_owned();
        address.parse::<u16>().expect("a port")
    };
    let mut c = nodes[0].connect();
    c.ok("CLUSTER ADDSLOTSRANGE 0 16383");
    c.ok(format!("CLUSTER MEET 127.0.0.1 {} {}", nodes[1].port(), bus_port(&nodes[1])));
    for node in &nodes {
        let mut c = node.connect();
        until("the cluster is whole", || {
            let info = c.text("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        });
    }
    nodes
}

/// Moves the slot of `key` from the first node to the second, key by key, as `redis-cli --cluster reshard` does.
///
/// # Panics
/// If a node refuses.
#[track_caller]
pub fn migrate(nodes: &[Server; 2], key: &str) {
    let [mut from, mut to]: [Conn; 2] = [nodes[0].connect(), nodes[1].connect()];
    let (from_id, to_id) = (from.text("CLUSTER MYID"), to.text("CLUSTER MYID"));
    let slot = from.int(["CLUSTER", "KEYSLOT", key]);
    to.ok(format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.ok(format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    if from.int(["EXISTS", key]) == 1 {
        from.ok(format!("MIGRATE 127.0.0.1 {} {key} 0 10000", nodes[1].port()));
    }
    for c in [&mut to, &mut from] {
        c.ok(format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
}
