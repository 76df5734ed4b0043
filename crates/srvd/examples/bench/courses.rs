//! Scripts of the scripted CLI, one for each kind of measurement.

/// Bytes of one flood.
pub(crate) const FLOOD: u64 = 200_000_000;

/// Names and scripts. A time in an address is the moment at which the address was written.
pub(crate) const ALL: [(&str, &str); 6] = [
    // Prints the address, then waits as if for a person.
    ("url", "out https://login.fake.test/authorize?t={now_us}\nsleep 60000\n"),
    (
        "crowd",
        "out https://login.fake.test/authorize?t={now_us}\nwait-file go\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\n",
    ),
    (
        "flood",
        "out https://login.fake.test/authorize?t={now_us}\nflood @FLOOD@ \\e[2K\\r\\e[36m\\xe2\\xa0\\x8b\\e[0m Waiting for the browser...\\e[2K\\r\\e[36m\\xe2\\xa0\\x99\\e[0m Waiting for the browser...\\n\\e[1mSuccessfully fetched\\e[0m \\e[90mconfiguration from the server (attempt 3 of 10), 12.5 kB in 0.3 s\\e[0m\\r\\n  - If your browser did not open, copy the address above and open it yourself.\\r\\n\\r\\n\nout\nout https://login.fake.test/done?t={now_us}\nsleep 60000\n",
    ),
    // Logs in and leaves a process that holds the output. That process ends on TERM, on KILL after a grace period, or
    // on KILL at once.
    (
        "polite",
        "spawn-grandchild a polite\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
    (
        "stubborn",
        "spawn-grandchild b\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
    (
        "session",
        "spawn-grandchild c session\nwrite credentials.json {\"access\":\"{now_us}-{pid}\"}\nout https://login.fake.test/end?t={now_us}\n",
    ),
];
