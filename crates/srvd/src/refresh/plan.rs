//! Selection of the due accounts to refresh next. It performs no I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use identity_store::{AccountId, DueRefresh};

/// The maximum number of flights that the queue has in progress, in total and per host. Each host is still contacted
/// only once at a time. A second flight waits for the host, so that the host is not idle until the next pass.
const FLIGHTS: usize = 8;
const AT_A_HOST: usize = 2;

/// The plan for the head of the queue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The positions of the accounts to refresh immediately.
    start: Vec<usize>,
    /// The positions of the accounts that no client can refresh.
    hopeless: Vec<usize>,
    /// True if there is room for more than the head of the queue contains.
    room: bool,
}

/// The part of the queue that has been read but not started. When many accounts are due at one host, most of them have
/// to wait. The backlog finds the accounts behind them without reading the queue again whenever a flight ends.
#[derive(Default)]
pub(super) struct Backlog {
    due: Vec<DueRefresh>,
    hosts: Vec<Option<Arc<str>>>,
}

/// The accounts taken out of the backlog.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The accounts to refresh immediately.
    pub(super) start: Vec<DueRefresh>,
    /// The accounts that no client can refresh.
    pub(super) hopeless: Vec<AccountId>,
    /// True if there is room for more than the backlog contains.
    pub(super) room: bool,
}

impl Backlog {
    /// Creates a backlog from rows that have just been read, each with the host that is contacted to refresh it.
    pub(super) fn new(due: Vec<DueRefresh>, host: impl Fn(&DueRefresh) -> Option<Arc<str>>) -> Self {
        let hosts = due.iter().map(host).collect();
        Self { due, hosts }
    }

    /// Returns whether the backlog is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Takes out the next accounts, given the flights in progress. Accounts that are already in progress are dropped,
    /// because their position in the queue changes when their flight ends.
    pub(super) fn take(&mut self, under_way: &HashMap<AccountId, Arc<str>>) -> Taken {
        let Plan { start, hopeless, room } = plan(&self.due, &self.hosts, under_way);
        let (start, hopeless): (HashSet<usize>, HashSet<usize>) =
            (start.into_iter().collect(), hopeless.into_iter().collect());
        let mut taken = Taken { room, ..Taken::default() };
        let queue = std::mem::take(&mut self.due).into_iter().zip(std::mem::take(&mut self.hosts));
        for (at, (due, host)) in queue.enumerate() {
            if start.contains(&at) {
                taken.start.push(due);
            } else if hopeless.contains(&at) {
                taken.hopeless.push(due.account);
            } else if !under_way.contains_key(&due.account) {
                self.due.push(due);
                self.hosts.push(host);
            }
        }
        taken
    }
}

/// Plans for the head of the queue, starting with the longest waiting, given the flights in progress. `hosts` contains
/// the host of each due account; an account without a host is hopeless.
fn plan(due: &[DueRefresh], hosts: &[Option<Arc<str>>], under_way: &HashMap<AccountId, Arc<str>>) -> Plan {
    let mut busy: HashMap<&str, usize> = HashMap::new();
    for host in under_way.values() {
        *busy.entry(host).or_default() += 1;
    }
    let mut plan = Plan::default();
    for (at, (due, host)) in due.iter().zip(hosts).enumerate() {
        let Some(host) = host else {
            plan.hopeless.push(at);
            continue;
        };
        let flights = busy.entry(host).or_default();
        let free = under_way.len() + plan.start.len() < FLIGHTS && *flights < AT_A_HOST;
        if free && !under_way.contains_key(&due.account) {
            *flights += 1;
            plan.start.push(at);
        }
    }
    plan.room = under_way.len() + plan.start.len() < FLIGHTS;
    plan
}

#[cfg(test)]
mod tests {
    use identity_store::Authority;

    use super::*;

    #[test]
    fn plan_limits_flights_per_host_and_in_total() {
        let check =
            |queue: &[(&str, &str)], flights: &[(&str, &str)], start: &[usize], hopeless: &[usize]| {
                let authority =
                    Authority { provider: "lent".parse().unwrap(), base_url: None, client_id: None };
                let due = |(id, _): &(&str, &str)| DueRefresh {
                    account: id.parse().unwrap(),
                    authority: authority.clone(),
                    at: 0,
                };
                let due: Vec<DueRefresh> = queue.iter().map(due).collect();
                let host = |(_, host): &(&str, &str)| (!host.is_empty()).then(|| Arc::from(*host));
                let hosts: Vec<_> = queue.iter().map(host).collect();
                let under_way =
                    flights.iter().map(|(id, host)| (id.parse().unwrap(), Arc::from(*host))).collect();
                let room = flights.len() + start.len() < FLIGHTS;
                let expect = Plan { start: start.to_vec(), hopeless: hopeless.to_vec(), room };
                assert_eq!(plan(&due, &hosts, &under_way), expect, "{queue:?} {flights:?}");
            };
        check(&[], &[], &[], &[]);
        check(&[("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")], &[], &[0, 1, 3], &[]);
        check(&[("a", "x"), ("b", "x"), ("d", "y")], &[("b", "x")], &[0, 2], &[]);
        check(&[("a", "x"), ("d", "y")], &[("b", "x"), ("c", "x")], &[1], &[]);
        check(&[("a", ""), ("b", "x"), ("c", "")], &[], &[1], &[0, 2]);
        let full: Vec<(String, String)> = (0..8).map(|n| (format!("f{n}"), format!("h{n}"))).collect();
        let full: Vec<(&str, &str)> = full.iter().map(|(id, host)| (id.as_str(), host.as_str())).collect();
        check(&[("a", "x")], &full, &[], &[]);
        check(&[("a", "x"), ("b", "y")], &full[1..], &[0], &[]);
    }

    #[test]
    fn backlog_yields_each_account_once_in_order() {
        let authority = Authority { provider: "lent".parse().unwrap(), base_url: None, client_id: None };
        let due = |id: &str| DueRefresh { account: id.parse().unwrap(), authority: authority.clone(), at: 0 };
        // The first letter is the host; `n` has none.
        let host = |due: &DueRefresh| {
            let host = &due.account.as_str()[..1];
            (host != "n").then(|| Arc::from(host))
        };
        let mut backlog = Backlog::new(["x1", "x2", "x3", "n1", "x4", "y1"].map(due).to_vec(), host);
        let mut check = |under_way: &[&str], start: &[&str], hopeless: &[&str]| {
            let flight = |id: &&str| (id.parse().unwrap(), Arc::from(&id[..1]));
            let taken = backlog.take(&under_way.iter().map(flight).collect());
            let started: Vec<&str> = taken.start.iter().map(|due| due.account.as_str()).collect();
            let given_up: Vec<&str> = taken.hopeless.iter().map(AccountId::as_str).collect();
            assert_eq!((started.as_slice(), given_up.as_slice()), (start, hopeless), "{under_way:?}");
            (taken.room, backlog.is_empty())
        };
        assert_eq!(check(&[], &["x1", "x2", "y1"], &["n1"]), (true, false));
        assert_eq!(check(&["x1", "x2"], &[], &[]), (true, false));
        // `x3` was started by a caller that could not wait for the queue.
        assert_eq!(check(&["x3"], &["x4"], &[]), (true, true));
        assert_eq!(check(&[], &[], &[]), (true, true));
    }
}
