//! A cluster of two.

use crate::{Server, until};

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
