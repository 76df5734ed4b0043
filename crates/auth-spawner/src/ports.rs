//! Whether the fixed callback ports of a CLI are free on this machine.

use std::net::{Ipv4Addr, TcpListener};

/// The first of these ports that another program holds on the loopback address.
///
/// A program may take the port between this look and the CLI's start; the CLI then says so itself.
pub(crate) fn first_taken(ports: &[u16]) -> Option<u16> {
    ports.iter().copied().find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_named() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        assert_eq!(first_taken(&[port]), Some(port));
        drop(holder);
        assert_eq!(first_taken(&[port]), None);
        assert_eq!(first_taken(&[]), None);
    }
}
