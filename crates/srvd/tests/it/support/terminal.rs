//! A running program on a terminal that a test looks at and types to.

use std::io::{Read as _, Write as _};
use std::process::Command;

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use tokio::sync::watch;

use super::PATIENCE;

/// A program on its own terminal, which is killed on drop.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    screen: watch::Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Starts the program on a terminal of 100 columns and 40 rows, with exactly the command's environment.
    pub(crate) fn start(command: &Command) -> Self {
        let size = PtySize { rows: 40, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap());
        }
        builder.cwd(command.get_current_dir().unwrap());
        let child = pair.slave.spawn_command(builder).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (sender, screen) = watch::channel(String::new());
        let reader = std::thread::spawn(move || {
            let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
            // Linux reports the end of the other side as an error.
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..count]);
                sender.send_replace(String::from_utf8_lossy(&bytes).into_owned());
            }
        });
        Self { child, keys, screen, reader: Some(reader) }
    }

    /// Waits until this text has appeared, and returns all output so far.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let mut screen = self.screen.clone();
        let found = screen.wait_for(|shown| shown.contains(text));
        let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|found| found.is_ok());
        let shown = self.screen.borrow().clone();
        assert!(found, "no {text:?} in\n{shown}");
        shown
    }

    /// Waits until this text has appeared `times` times.
    pub(crate) async fn shows_times(&self, text: &str, times: usize) {
        let mut screen = self.screen.clone();
        let found = screen.wait_for(|shown| shown.matches(text).count() >= times);
        let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|found| found.is_ok());
        assert!(found, "no {times} times {text:?} in\n{}", *self.screen.borrow());
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end. Returns the exit code and all output.
    pub(crate) fn end(mut self) -> (u32, String) {
        let code = self.child.wait().unwrap().exit_code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.screen.borrow().clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A program that has ended cannot be killed.
        let _ = self.child.kill();
    }
}
