//! Pages that stand alone: no script, no network, nothing beside them; to be read, printed and kept.

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
th{text-align:left;vertical-align:top;padding-right:1rem;white-space:nowrap;font-weight:600}\
td,pre,code{overflow-wrap:anywhere}pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}\
@media print{pre{background:none;padding:0}}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}\
pre{background:#222}}";

/// A page with this title, which is also its heading; `content` is HTML.
pub(crate) fn page(title: &str, content: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{content}</main>\n\
         </body>\n</html>\n"
    )
}

/// A table of names and values, as text.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// A heading, and text as it is.
pub(crate) fn section(title: &str, text: &str) -> String {
    format!("<h2>{}</h2>\n<pre>{}</pre>\n", escape(title), escape(text))
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let bad = "<script>alert(1)</script> & \"quoted\"";
        let shown = page(bad, &(table(&[(bad, bad.to_owned())]) + &section(bad, bad)));
        assert!(!shown.contains("<script"), "{shown}");
        assert_eq!(
            shown.matches("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;").count(),
            6
        );
    }
}
