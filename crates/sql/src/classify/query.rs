//! SELECT, VALUES, TABLE, WITH: every part is known to be harmless, or the query is not a read.

use sqlparser::ast::{
    Cte, Distinct, Fetch, GroupByExpr, GroupByWithModifier, LimitClause, NamedWindowExpr, OrderBy,
    OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, WildcardAdditionalOptions, WindowFrameBound,
    WindowSpec, With,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token as Parsed, TokenWithSpan};

use super::findings::Findings;
use super::grammar::Grammar;
use super::words::Words;
use super::{bridge, surface};
use crate::class::{Class, Why};
use crate::names::Names;

/// How deep queries and expressions may nest.
const MOST_DEPTH: usize = 60;

/// Classifies a query that ends where `words` end.
pub(super) fn classify(words: Words<'_>, names: Names<'_>) -> Findings {
    let mut found = Findings::default();
    found.uses(names.always());
    surface::look(words, names, &mut found);
    if found.class == Class::Write {
        return found;
    }
    let parsed = match bridge::translate(words) {
        Some(tokens) => parse(tokens),
        None => Err(Why::Unparsed),
    };
    match parsed {
        Ok(query) => Walker { names, found: &mut found, scopes: Vec::new() }.query(&query),
        Err(why) => {
            found.raise(Class::Write, why);
            found.outside = true;
        }
    }
    found
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Box<Query>, Why> {
    let grammar = Grammar::new();
    let parser = Parser::new(&grammar).with_recursion_limit(MOST_DEPTH);
    let mut parser = parser.with_tokens_with_locations(tokens);
    match parser.parse_query() {
        Ok(query) if parser.peek_token_ref().token == Parsed::EOF => Ok(query),
        Err(ParserError::RecursionLimitExceeded) => Err(Why::NestingTooDeep),
        Ok(_) | Err(ParserError::TokenizerError(_) | ParserError::ParserError(_)) => {
            Err(Why::Unparsed)
        }
    }
}

/// Walks a syntax tree and gathers what it uses.
///
/// Structs are taken apart whole and enums without a catch-all for reads, so that what a later parser adds is not
/// understood until someone has looked at it.
pub(super) struct Walker<'a, 'n> {
    pub(super) names: Names<'n>,
    pub(super) found: &'a mut Findings,
    /// Names that WITH gives to queries, innermost scope last.
    pub(super) scopes: Vec<Vec<String>>,
}

impl Walker<'_, '_> {
    pub(super) fn not_understood(&mut self) {
        self.found.raise(Class::Write, Why::NotUnderstood);
    }

    /// Goes on only with what PostgreSQL's grammar has.
    #[expect(clippy::fn_params_excessive_bools, reason = "an assertion takes its condition")]
    pub(super) fn expect(&mut self, understood: bool) {
        if !understood {
            self.not_understood();
        }
    }

    pub(super) fn query(&mut self, query: &Query) {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        self.expect(
            for_clause.is_none()
                && settings.is_none()
                && format_clause.is_none()
                && pipe_operators.is_empty(),
        );
        if !locks.is_empty() {
            self.found.raise(Class::Write, Why::LockingClause);
        }
        self.scopes.push(Vec::new());
        if let Some(with) = with {
            self.with(with);
        }
        self.body(body);
        if let Some(order_by) = order_by {
            self.order_by(order_by);
        }
        self.limits(limit_clause.as_ref(), fetch.as_ref());
        self.scopes.pop();
    }

    fn limits(&mut self, limit: Option<&LimitClause>, fetch: Option<&Fetch>) {
        match limit {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                self.expect(limit_by.is_empty());
                self.exprs(limit.iter().chain(offset.as_ref().map(|offset| &offset.value)));
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => self.not_understood(),
            None => {}
        }
        if let Some(Fetch { with_ties: _, percent, quantity }) = fetch {
            self.expect(!percent);
            self.exprs(quantity);
        }
    }

    /// With RECURSIVE a query may use all names of its WITH, otherwise those before it.
    fn with(&mut self, with: &With) {
        let With { with_token: _, recursive, cte_tables } = with;
        if *recursive {
            for cte in cte_tables {
                self.name_query(cte);
            }
        }
        for cte in cte_tables {
            let Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
            self.expect(from.is_none());
            self.alias(Some(alias));
            self.query(query);
            if !recursive {
                self.name_query(cte);
            }
        }
    }

    fn name_query(&mut self, cte: &Cte) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(super::expr::folded(&cte.alias.name).into_owned());
        }
    }

    /// Chains of UNION lean left: they are followed in a loop, for they may be as long as the text.
    fn body(&mut self, body: &SetExpr) {
        let mut body = body;
        loop {
            match body {
                SetExpr::SetOperation { left, op: _, set_quantifier: _, right } => {
                    self.body(right);
                    body = left;
                }
                SetExpr::Select(select) => return self.select(select),
                SetExpr::Query(query) => return self.query(query),
                SetExpr::Values(values) => {
                    self.expect(!values.explicit_row);
                    return values.rows.iter().for_each(|row| self.exprs(&row.content));
                }
                SetExpr::Insert(_)
                | SetExpr::Update(_)
                | SetExpr::Delete(_)
                | SetExpr::Merge(_) => {
                    return self.found.raise(Class::Write, Why::DataModifying);
                }
                SetExpr::Table(_) => return self.not_understood(),
            }
        }
    }

    fn select(&mut self, select: &Select) {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            self.found.raise(Class::Write, Why::SelectInto);
        }
        self.expect(
            optimizer_hints.is_empty()
                && select_modifiers.is_none()
                && top.is_none()
                && exclude.is_none(),
        );
        self.expect(
            lateral_views.is_empty()
                && prewhere.is_none()
                && connect_by.is_empty()
                && qualify.is_none(),
        );
        self.expect(cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty());
        self.expect(value_table_mode.is_none() && *flavor == SelectFlavor::Standard);
        if let Some(Distinct::On(keys)) = distinct {
            self.exprs(keys);
        }
        for item in projection {
            self.item(item);
        }
        for table in from {
            self.table_with_joins(table);
        }
        self.exprs(selection.iter().chain(having));
        self.group_by(group_by);
        for window in named_window {
            match &window.1 {
                NamedWindowExpr::NamedWindow(_) => {}
                NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            }
        }
    }

    fn item(&mut self, item: &SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, alias: _ } => {
                self.expr(expr);
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(_),
                options,
            )
            | SelectItem::Wildcard(options) => self.wildcard(options),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), options) => {
                self.expr(expr);
                self.wildcard(options);
            }
            SelectItem::ExprWithAliases { .. } => self.not_understood(),
        }
    }

    pub(super) fn wildcard(&mut self, options: &WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias: _,
        } = options;
        let none = opt_ilike.is_none() && opt_exclude.is_none() && opt_except.is_none();
        self.expect(none && opt_replace.is_none() && opt_rename.is_none());
    }

    fn group_by(&mut self, group_by: &GroupByExpr) {
        let (GroupByExpr::Expressions(_, modifiers) | GroupByExpr::All(modifiers)) = group_by;
        for modifier in modifiers {
            match modifier {
                GroupByWithModifier::GroupingSets(sets) => self.expr(sets),
                GroupByWithModifier::Rollup
                | GroupByWithModifier::Cube
                | GroupByWithModifier::Totals => {
                    self.not_understood();
                }
            }
        }
        match group_by {
            GroupByExpr::Expressions(keys, _) => self.exprs(keys),
            GroupByExpr::All(_) => {}
        }
    }

    fn order_by(&mut self, order_by: &OrderBy) {
        let OrderBy { kind, interpolate } = order_by;
        self.expect(interpolate.is_none());
        match kind {
            OrderByKind::Expressions(keys) => self.order_keys(keys),
            OrderByKind::All(_) => self.not_understood(),
        }
    }

    pub(super) fn order_keys(&mut self, keys: &[OrderByExpr]) {
        for OrderByExpr { expr, options: _, with_fill } in keys {
            self.expect(with_fill.is_none());
            self.expr(expr);
        }
    }

    pub(super) fn window(&mut self, window: &WindowSpec) {
        let WindowSpec { window_name: _, partition_by, order_by, window_frame } = window;
        self.exprs(partition_by);
        self.order_keys(order_by);
        let Some(frame) = window_frame else { return };
        for bound in [Some(&frame.start_bound), frame.end_bound.as_ref()].into_iter().flatten() {
            match bound {
                WindowFrameBound::CurrentRow => {}
                WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => {
                    self.exprs(offset.as_deref());
                }
            }
        }
    }
}
