//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use maildt::app::{self, Origin};
use maildt::check::{self, Order};
use maildt::cli::{self, CheckArgs, CheckConfigArgs, Cli, Command, exit};
use maildt::config::{self, Config, Purpose};
use maildt::domain::address::MailAddress;

fn main() -> ExitCode {
    let cli = match Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(not_run) => {
            let _ = not_run.message.print();
            return ExitCode::from(not_run.exit_code);
        }
    };
    let file = cli.config_file(&PathBuf::from("."));
    let code = match cli.into_command() {
        Command::Serve => serve(file),
        Command::Demo => demo(),
        Command::Check(args) => check(file, &args),
        Command::CheckConfig(args) => check_config(file.as_deref(), &args),
        Command::HashPassword => shown(cli::hash_password::run(&rand::random())),
        Command::Totp(args) => {
            use std::io::IsTerminal as _;
            let colours = std::io::stdout().is_terminal();
            println!("{}", *cli::totp::enrol(&rand::random(), &args.account).text(colours));
            0
        }
        Command::Healthcheck => match config::metrics_listen(file.as_deref(), cli::environment()) {
            Ok(address) => shown(cli::healthcheck::run(address).map(|()| "healthy".to_owned())),
            Err(problems) => refused(&problems),
        },
    };
    ExitCode::from(code)
}

/// Prints a result on stdout or an error on stderr.
fn shown<E: std::fmt::Display>(result: Result<String, E>) -> u8 {
    match result {
        Ok(text) => {
            println!("{text}");
            0
        }
        Err(reason) => {
            eprintln!("maildt: {reason}");
            exit::FAILURE
        }
    }
}

fn refused(problems: &config::Problems) -> u8 {
    eprintln!("maildt: the configuration is refused:\n{problems}");
    exit::CONFIG
}

fn run<T>(work: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work))
}

/// Runs a service that logs its own errors.
fn service(work: impl Future<Output = anyhow::Result<()>>) -> u8 {
    match run(work) {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => {
            eprintln!("maildt: {reason:#}");
            exit::FAILURE
        }
        Err(reason) => {
            eprintln!("maildt: cannot start: {reason}");
            exit::FAILURE
        }
    }
}

fn serve(file: Option<PathBuf>) -> u8 {
    let origin = Origin { file, environment: None, purpose: Purpose::Serve };
    let config = match origin.load() {
        Ok(config) => config,
        Err(problems) => return refused(&problems),
    };
    app::init_logging(config.log_level, config.log_format);
    service(app::serve(origin, config))
}

fn demo() -> u8 {
    let environment = cli::environment();
    let directory = environment
        .iter()
        .find(|(name, value)| name == "DATA_DIR" && !value.is_empty())
        .map_or_else(|| std::env::temp_dir().join("maildt-demo"), |(_, value)| PathBuf::from(value));
    service(app::demo(&directory, &environment))
}

/// A refused configuration exits with 3 here: a monitoring system would take 78 for nothing that it knows.
fn check(file: Option<PathBuf>, args: &CheckArgs) -> u8 {
    let origin = Origin { file, environment: None, purpose: Purpose::Check };
    let config = match origin.load() {
        Ok(config) => config,
        Err(problems) => {
            println!("MAILDT UNKNOWN - the configuration is refused");
            refused(&problems);
            return exit::UNKNOWN;
        }
    };
    let address = match args.address.parse::<MailAddress>() {
        Ok(address) => address,
        Err(reason) => {
            println!("MAILDT UNKNOWN - {:?} is no address: {reason}; write name@domain", args.address);
            return exit::UNKNOWN;
        }
    };
    let threshold = args.threshold.unwrap_or(config.defaults.alert_threshold);
    let order = Order {
        address: address.to_string(),
        sender: args.sender.clone(),
        mailbox: args.mailbox.clone(),
        return_mode: args.return_mode,
        threshold,
        patience: args.timeout.unwrap_or(threshold * 2).max(threshold),
    };
    match run(check::check(&config, &order, |step| eprintln!("{step}"))) {
        Ok(report) => {
            println!("{report}");
            report.status.exit_code()
        }
        Err(reason) => {
            println!("MAILDT UNKNOWN - cannot start: {reason}");
            exit::UNKNOWN
        }
    }
}

fn check_config(file: Option<&Path>, args: &CheckConfigArgs) -> u8 {
    let config = match Config::load(file, cli::environment(), Purpose::Serve) {
        Ok(config) => config,
        Err(problems) => return refused(&problems),
    };
    match run(app::check_config(&config, args.offline, args.test_alerts)) {
        Ok(true) => 0,
        Ok(false) => exit::FAILURE,
        Err(reason) => shown::<std::io::Error>(Err(reason)),
    }
}
