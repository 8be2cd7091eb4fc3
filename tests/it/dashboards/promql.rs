//! What an expression of `PromQL` selects, and inside of which function.

use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, VectorSelector, parse};

/// A selector of series.
#[derive(Clone, Debug)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// The function around a range, such as `increase`.
    pub function: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Matcher {
    pub label: String,
    /// With `!`: none of the values.
    pub not: bool,
    pub regex: bool,
    pub value: String,
}

impl Selector {
    pub fn matcher(&self, label: &str) -> Option<&Matcher> {
        self.matchers.iter().find(|matcher| matcher.label == label)
    }
}

impl Matcher {
    /// The values that it names, where it names them one by one.
    pub fn literals(&self) -> Vec<&str> {
        let values: Vec<&str> =
            if self.regex { self.value.split('|').collect() } else { vec![self.value.as_str()] };
        let plain = |value: &&str| !value.contains(['.', '*', '+', '(', '[', '\\']);
        if values.iter().all(plain) { values } else { Vec::new() }
    }
}

/// Every selector of an expression.
///
/// # Errors
/// When it is no `PromQL`.
pub fn selectors(expr: &str) -> Result<Vec<Selector>, String> {
    let mut found = Vec::new();
    visit(&parse(expr)?, None, &mut found);
    Ok(found)
}

fn visit(expr: &Expr, function: Option<&'static str>, found: &mut Vec<Selector>) {
    match expr {
        Expr::Aggregate(e) => {
            visit(&e.expr, None, found);
            if let Some(param) = &e.param {
                visit(param, None, found);
            }
        }
        Expr::Unary(e) => visit(&e.expr, None, found),
        Expr::Binary(e) => {
            visit(&e.lhs, None, found);
            visit(&e.rhs, None, found);
        }
        Expr::Paren(e) => visit(&e.expr, function, found),
        Expr::Subquery(e) => visit(&e.expr, None, found),
        Expr::VectorSelector(selector) => found.push(selected(selector, None)),
        Expr::MatrixSelector(range) => found.push(selected(&range.vs, function)),
        Expr::Call(call) => call.args.args.iter().for_each(|arg| visit(arg, Some(call.func.name), found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn selected(selector: &VectorSelector, function: Option<&'static str>) -> Selector {
    let matchers = selector.matchers.matchers.iter().map(|matcher| Matcher {
        label: matcher.name.clone(),
        not: matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRe(_)),
        regex: matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_)),
        value: matcher.value.clone(),
    });
    Selector { metric: selector.name.clone().unwrap_or_default(), matchers: matchers.collect(), function }
}

#[test]
fn selectors_are_found_wherever_they_stand() {
    let expr = "topk(3, sum by (a) (increase(x_total{j=~\"u|v\"}[5m]))) / on (a) -y{k!=\"w\"} and z @ end() or vector(0)";
    let found = selectors(expr).unwrap();
    let told: Vec<_> = found.iter().map(|s| (s.metric.as_str(), s.function)).collect();
    assert_eq!(told, [("x_total", Some("increase")), ("y", None), ("z", None)]);
    assert_eq!(found[0].matcher("j").unwrap().literals(), ["u", "v"]);
    assert!(found[1].matcher("k").unwrap().not);
    assert!(selectors("sum(").is_err());
}
