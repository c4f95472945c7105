//! From a port of the host to an instance, by the way that is documented: relay, world, router, translation, policy.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};

use netns_setup::kernel::build;
use netns_setup::kernel::enter::Launched;
use netns_setup::kernel::relay::{Relay, Upstream};
use netns_setup::plan::{ROUTER_ADDRESS, WORLD};
use nix::sys::signal::{Signal, kill};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::Lab;
use crate::network::{listen, shop};

/// Stands in for the gateway; answers one connection in capitals, then refuses.
pub(crate) fn serves(lab: &mut Lab) {
    let (_, plan) = shop(lab);
    // This lab is killed in the end, so it keeps nothing that would have to be removed.
    std::fs::remove_dir_all(lab.folder.path()).unwrap();
    let network = build(&plan).unwrap();
    let gateway = plan
        .instances
        .iter()
        .find(|instance| instance.service == "api-gateway")
        .unwrap();
    let server = listen(&network, gateway, 3000);
    server.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let upstream = Upstream {
            namespace: network.namespace(WORLD).unwrap().try_clone().unwrap(),
            address: SocketAddrV4::new(ROUTER_ADDRESS.addr(), 8080),
        };
        let _relay = Relay::start(lab.listener.try_clone().unwrap(), vec![upstream]).unwrap();
        let server = tokio::net::TcpListener::from_std(server).unwrap();
        let (mut peer, from) = server.accept().await.unwrap();
        assert_eq!(
            from.ip().to_string(),
            "203.0.113.2",
            "it comes from the world"
        );
        drop(server);
        let mut text = String::new();
        peer.read_to_string(&mut text).await.unwrap();
        peer.write_all(text.to_uppercase().as_bytes())
            .await
            .unwrap();
        peer.shutdown().await.unwrap();
        lab.messages.write_all(b"closed").unwrap();
        std::future::pending::<()>().await;
    });
}

pub(crate) fn calls(launched: &mut Launched, address: SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"through every layer").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "THROUGH EVERY LAYER");

    let mut closed = [0; 6];
    launched.messages.read_exact(&mut closed).unwrap();
    let mut refused = TcpStream::connect(address).unwrap();
    let error = refused.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    kill(launched.pid, Signal::SIGKILL).unwrap();
}
