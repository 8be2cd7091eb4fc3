//! The figures, as a table that is read by people.

/// One line.
struct Figure {
    what: String,
    value: String,
    goal: String,
    met: Option<bool>,
}

/// All lines so far.
#[derive(Default)]
pub struct Table {
    figures: Vec<Figure>,
    losses: Vec<String>,
}

impl Table {
    /// A figure with a goal.
    pub fn judged(&mut self, what: impl Into<String>, value: impl Into<String>, goal: &str, met: bool) {
        self.add(Figure { what: what.into(), value: value.into(), goal: goal.to_owned(), met: Some(met) });
    }

    /// A figure that has none.
    pub fn told(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.add(Figure { what: what.into(), value: value.into(), goal: String::new(), met: None });
    }

    /// Something that must not happen, whatever the figures.
    pub fn lost(&mut self, what: String) {
        println!("LOST: {what}");
        self.losses.push(what);
    }

    fn add(&mut self, figure: Figure) {
        println!("  {}: {}", figure.what, figure.value);
        self.figures.push(figure);
    }

    /// Prints everything; false if something was lost.
    pub fn print(&self) -> bool {
        let width = |of: fn(&Figure) -> &str, least: usize| {
            self.figures.iter().map(|figure| of(figure).chars().count()).max().unwrap_or(0).max(least)
        };
        let (what, value, goal) = (width(|f| &f.what, 6), width(|f| &f.value, 5), width(|f| &f.goal, 4));
        println!("\n{:what$}  {:value$}  {:goal$}  ", "figure", "value", "goal");
        println!("{}", "-".repeat(what + value + goal + 13));
        for figure in &self.figures {
            let met = match figure.met {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "",
            };
            println!("{:what$}  {:value$}  {:goal$}  {met}", figure.what, figure.value, figure.goal);
        }
        for loss in &self.losses {
            println!("\nLOST: {loss}");
        }
        self.losses.is_empty()
    }
}

/// The value below which `share` of them lie.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among few values"
    )]
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// Milliseconds for reading.
pub fn milliseconds(ms: f64) -> String {
    if ms.abs() < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
