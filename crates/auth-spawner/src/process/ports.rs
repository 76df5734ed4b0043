//! Checks whether a CLI's fixed callback ports are free on this machine, and finds the process using a port.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

use super::inspect::pids;

/// The addresses at which a browser looks for a callback. On Linux, a listener on all addresses blocks both. On other
/// systems it blocks neither, because the more specific address takes precedence.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
/// The number of checks of a port with an unknown holder, and the pause between checks.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);
/// The listening state of a socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// A port on which another program is listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPort {
    /// The port number.
    pub port: u16,
    /// The program, if known.
    pub holder: Option<PortHolder>,
}

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// The command name of the process.
    pub name: String,
    /// The process id.
    pub pid: i32,
}

impl fmt::Display for HeldPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(PortHolder { name, pid }) => {
                write!(formatter, "port {} is in use by {name} (pid {pid})", self.port)
            }
            None => write!(formatter, "port {} is in use by another program", self.port),
        }
    }
}

/// Returns the first of these ports that another program holds on a loopback address. Blocks while searching the user's
/// processes, and for another second if the holder cannot be identified.
///
/// A program may still take the port between this check and the start of the CLI, which then reports the error.
pub(crate) fn first_held(ports: &[u16]) -> Option<HeldPort> {
    ports.iter().find_map(|port| held(*port))
}

/// Returns each of these ports that another program holds on a loopback address. Blocks for a second for each port
/// whose holder cannot be identified.
pub fn held_ports(ports: &[u16]) -> Vec<HeldPort> {
    ports.iter().filter_map(|port| held(*port)).collect()
}

/// Checks a port, several times if the holder is unknown. Such a holder may be a short-lived outgoing connection that
/// was assigned this port as its local port.
fn held(port: u16) -> Option<HeldPort> {
    for _ in 0..LOOKS {
        if !is_held(port) {
            return None;
        }
        if let Some(holder) = holder(port) {
            return Some(HeldPort { port, holder: Some(holder) });
        }
        std::thread::sleep(BETWEEN);
    }
    is_held(port).then_some(HeldPort { port, holder: None })
}

fn is_held(port: u16) -> bool {
    // A machine without one of the address families has no listener on it.
    let refused = |address| TcpListener::bind((address, port)).err();
    LOOPBACK.into_iter().filter_map(refused).any(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Returns the process that is listening on a port of this machine. It is found through the socket table and the
/// processes' descriptors, which works only for processes of the same user.
fn holder(port: u16) -> Option<PortHolder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let sockets: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines())
        .filter_map(|line| listener(line, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |pid: &i32| {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    };
    let pid = pids().map(|pid| pid.as_raw_nonzero().get()).find(holds)?;
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(PortHolder { name: plain(&name), pid })
}

/// Returns the socket's inode if this table line is a listener on the port, at an address that matters for a callback.
fn listener(line: &str, port: u16) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, found) = fields.get(1)?.split_once(':')?;
    let concerns =
        *fields.get(3)? == LISTENS && u16::from_str_radix(found, 16).ok()? == port && is_near(address);
    concerns.then(|| fields.get(9).copied()).flatten()
}

/// Returns whether an address in the socket table is a loopback address or the unspecified address. The table stores
/// addresses as four-byte words in the machine's byte order.
fn is_near(address: &str) -> bool {
    let words: Option<Vec<u32>> = (0..address.len() / 8)
        .map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words.unwrap_or_default().into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = match bytes.as_slice() {
        &[a, b, c, d] => IpAddr::from([a, b, c, d]),
        wide => match <[u8; 16]>::try_from(wide) {
            Ok(wide) => IpAddr::from(wide).to_canonical(),
            Err(_) => return false,
        },
    };
    address.is_loopback() || address.is_unspecified()
}

/// Returns a command name that is safe to display, because a process can choose any bytes as its name.
fn plain(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name.trim_ascii());
    name.chars()
        .map(|c| if c.is_alphanumeric() || " ._-+:/".contains(c) { c } else { '?' })
        .take(32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_is_reported_with_its_holder() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            // A machine without IPv6 has no listener on it.
            let Ok(socket) = TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            let held = first_held(&[port]).unwrap();
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(held_ports(&[port]), std::slice::from_ref(&held));
            assert_eq!(
                (held.port, held.holder.as_ref().map(|holder| holder.pid)),
                (port, Some(own)),
                "{address}"
            );
            assert!(held.to_string().ends_with(&format!("(pid {own})")), "{held}");
            drop(socket);
            assert_eq!(first_held(&[port]), None, "{address}");
        }
        assert_eq!(first_held(&[]), None);
    }

    #[test]
    fn socket_table_line_matches_a_listener_on_loopback_or_any_address() {
        let line = |address: &str, state: &str| {
            format!(
                "   3: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 43210 1 0"
            )
        };
        let check = |address: &str, state: &str, port: u16, expect: bool| {
            let line = line(address, state);
            assert_eq!(listener(&line, port), expect.then_some("43210"), "{line}");
        };
        // The format on little-endian machines.
        if cfg!(target_endian = "little") {
            check("0100007F:05AF", "0A", 1455, true);
            check("0500007F:05AF", "0A", 1455, true);
            check("00000000:05AF", "0A", 1455, true);
            check("0200A8C0:05AF", "0A", 1455, false);
            check("00000000000000000000000001000000:05AF", "0A", 1455, true);
            check("00000000000000000000000000000000:05AF", "0A", 1455, true);
            check("0000000000000000FFFF00000100007F:05AF", "0A", 1455, true);
            check("000080FE000000000000000001000000:05AF", "0A", 1455, false);
        }
        check("0100007F:05AF", "01", 1455, false);
        check("0100007F:05B0", "0A", 1455, false);
        for broken in ["", "sl local_address rem_address st", "0: x:y z 0A", "0: 00:05AF z 0A"] {
            assert_eq!(listener(broken, 1455), None, "{broken:?}");
        }
    }

    #[test]
    fn special_characters_in_a_command_name_are_replaced() {
        assert_eq!(plain(b"node\n"), "node");
        assert_eq!(plain("a\u{202e}\x1b[31m\u{e9}".as_bytes()), "a??[31m\u{e9}".replace('[', "?"));
    }
}
