//! The database of a command that works without the daemon: the one that the daemon of the data directory recorded.

use identity_store::DatabaseKind;

use super::failure::{Failure, code};
use super::prompt;
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::config::{Config, key};
use crate::daemon::{BootError, DatabaseRecord};
use crate::hint::Step;

/// Arguments of every command that opens the database.
#[derive(Debug, Default, clap::Args)]
pub(super) struct DatabaseArgs {
    /// The database to use if the daemon of the data directory recorded another one than is configured here
    #[arg(long, value_name = "WHICH")]
    database: Option<Which>,
}

/// The choice between two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The one that the daemon recorded.
    Recorded,
    /// The one of this command's own settings.
    Configured,
}

impl DatabaseArgs {
    /// Returns the configuration with the database to use. If the recorded database is another one than the configured
    /// one, the user is asked on a terminal, and must have named one elsewhere.
    pub(super) async fn settle(&self, config: &Config, ui: &Ui) -> Result<Config, Failure> {
        let record = DatabaseRecord::read(&config.data_dir)?;
        let configured = config.database.to_string();
        let Some(record) = record.filter(|record| record.database != configured) else {
            return Ok(config.clone());
        };
        let recorded = record.database;
        let which = match self.database {
            Some(which) => which,
            None if ui.types => {
                let question = format!(
                    "The daemon of {} uses {recorded}, but {configured} is configured here. Use {recorded}?",
                    config.data_dir.display()
                );
                prompt::confirm(ui, &question, false).await?;
                Which::Recorded
            }
            None => {
                return Err(Failure::new(
                    code::CONFIG,
                    format!(
                        "the daemon of {} uses {recorded}, but {configured} is configured here",
                        config.data_dir.display()
                    ),
                )
                .hint(Step::ChooseDatabase));
            }
        };
        if which == Which::Configured {
            return Ok(config.clone());
        }
        let mut config = config.clone();
        config.database = recorded.parse().map_err(|_| nameless(&recorded))?;
        if config.database.kind() == DatabaseKind::Postgres {
            return Err(nameless(&recorded));
        }
        Ok(config)
    }
}

/// The record holds no user and no password, so a server's database has to be configured.
fn nameless(recorded: &str) -> Failure {
    Failure::new(code::CONFIG, format!("{recorded} cannot be used without its user and password"))
        .hint(Step::NameServer)
}

/// Prints which database and which key the command means.
pub(super) fn announce(config: &Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let keys = key::load(environment, &config.key_sources()).map_err(BootError::from)?;
    ui.note(&format!(
        "Database: {}. Key: {} from {}.",
        config.database,
        keys.key.id(),
        keys.places.join(" and ")
    ));
    Ok(())
}
