//! Which due accounts are refreshed next. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use identity_store::{AccountId, Due};

/// How many flights the queue has under way at most, and how many at one host. The hosts are asked one at a time all the
/// same: the second one waits, so that a host need not wait for the queue.
const FLIGHTS: usize = 8;
const AT_A_HOST: usize = 2;

/// What to do with the head of the queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The positions of those that are refreshed at once.
    pub(super) start: Vec<usize>,
    /// The positions of those that nobody can refresh.
    pub(super) hopeless: Vec<usize>,
    /// Whether there is room for more than the head of the queue has.
    pub(super) room: bool,
}

/// Plans for the head of the queue, the longest waiting first, while these flights are under way. `hosts` are those of
/// the due accounts; one without is hopeless.
pub(super) fn plan(
    due: &[Due],
    hosts: &[Option<Arc<str>>],
    under_way: &HashMap<AccountId, Arc<str>>,
) -> Plan {
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
    fn no_host_takes_the_place_of_the_others() {
        let check =
            |queue: &[(&str, &str)], flights: &[(&str, &str)], start: &[usize], hopeless: &[usize]| {
                let authority =
                    Authority { provider: "lent".parse().unwrap(), base_url: None, client_id: None };
                let due = |(id, _): &(&str, &str)| Due {
                    account: id.parse().unwrap(),
                    authority: authority.clone(),
                    at: 0,
                };
                let due: Vec<Due> = queue.iter().map(due).collect();
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
}
