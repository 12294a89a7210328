//! Lists, which the service returns page by page.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_core::Stream;

use super::error::ClientError;

/// More than any project has. A service that never ends is stopped here.
const MAX_PAGES: u32 = 10_000;

/// One page of a list, and the token of the next.
#[derive(Clone, Debug)]
pub struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> Page<T> {
    pub(super) fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self {
            items,
            next: next.filter(|token| !token.is_empty()),
        }
    }

    /// Returns the items of this page. It may be empty even if another page follows.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Returns the items of this page by value.
    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Returns the token of the next page, or `None` if this is the last one.
    ///
    /// The token is opaque, and may contain control characters and line breaks.
    #[must_use]
    pub fn next_page_token(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

pub(super) type PageFuture<T> = Pin<Box<dyn Future<Output = Result<Page<T>, ClientError>> + Send>>;

/// A list over all pages, which are fetched as they are needed.
///
/// It is a [`Stream`] of `Result<T, ClientError>`. It also has its own [`next`](Self::next), which needs
/// no other crate. It ends after the first error.
#[must_use = "a list fetches nothing until it is asked for its items"]
pub struct Listing<T> {
    call: &'static str,
    fetch: Box<dyn FnMut(Option<String>) -> PageFuture<T> + Send>,
    items: vec::IntoIter<T>,
    step: Step<T>,
    pages: u32,
}

enum Step<T> {
    /// The page of this token comes next.
    Due(Option<String>),
    /// The page of this token is being fetched.
    Fetching(Option<String>, PageFuture<T>),
    /// There are no more.
    Done,
}

impl<T> Listing<T> {
    pub(super) fn new(
        call: &'static str,
        fetch: impl FnMut(Option<String>) -> PageFuture<T> + Send + 'static,
    ) -> Self {
        Self {
            call,
            fetch: Box::new(fetch),
            items: Vec::new().into_iter(),
            step: Step::Due(None),
            pages: 0,
        }
    }

    /// Returns the next item, or `None` at the end of the list.
    ///
    /// It is cancel safe: if you drop the future, no item is lost.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Collects all remaining items.
    ///
    /// # Errors
    ///
    /// Returns the first error of fetching a page.
    pub async fn collect(mut self) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item?);
        }
        Ok(items)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, ClientError>>> {
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            match &mut self.step {
                Step::Done => return Poll::Ready(None),
                Step::Due(token) => {
                    let token = token.take();
                    let page = (self.fetch)(token.clone());
                    self.step = Step::Fetching(token, page);
                }
                Step::Fetching(token, page) => {
                    let page = ready!(page.as_mut().poll(cx));
                    let token = token.take();
                    // Whatever comes of this page, it is not asked for again.
                    self.step = Step::Done;
                    let Page { items, next } = match page {
                        Ok(page) => page,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    self.pages = self.pages.saturating_add(1);
                    if next.is_some() && (next == token || self.pages == MAX_PAGES) {
                        let endless = "the list does not end: its last page leads to itself, or it has more than 10,000 pages";
                        return Poll::Ready(Some(Err(ClientError::unreadable(self.call, endless))));
                    }
                    self.items = items.into_iter();
                    if next.is_some() {
                        self.step = Step::Due(next);
                    }
                }
            }
        }
    }
}

// Nothing in it is pinned but what is in a box.
impl<T> Unpin for Listing<T> {}

impl<T> Stream for Listing<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<T> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("call", &self.call)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What each token leads to.
    type Pages = Vec<(Option<&'static str>, Result<Page<u32>, &'static str>)>;

    fn page(items: &[u32], next: Option<&str>) -> Result<Page<u32>, &'static str> {
        Ok(Page::new(items.to_vec(), next.map(str::to_owned)))
    }

    async fn run(pages: Pages) -> (Vec<Result<u32, String>>, Vec<Option<String>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut listing = Listing::new("list", {
            let asked = Arc::clone(&asked);
            move |token: Option<String>| -> PageFuture<u32> {
                asked.lock().unwrap().push(token.clone());
                let found = pages.iter().find(|(of, _)| *of == token.as_deref());
                let page = found.unwrap().1.clone();
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    page.map_err(|error| ClientError::refused("list", error))
                })
            }
        });
        let mut items = Vec::new();
        while let Some(item) = listing.next().await {
            items.push(item.map_err(|error| error.to_string()));
        }
        assert!(listing.next().await.is_none(), "it stays at its end");
        let asked = asked.lock().unwrap().clone();
        (items, asked)
    }

    #[tokio::test]
    async fn all_pages_are_gone_through() {
        let odd = "a\n\u{8}b";
        let (items, asked) = run(vec![
            (None, page(&[1, 2], Some(odd))),
            (Some(odd), page(&[], Some("c"))),
            (Some("c"), page(&[3], None)),
        ])
        .await;
        assert_eq!(items, [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(asked, [None, Some(odd.to_owned()), Some("c".to_owned())]);

        let (items, asked) = run(vec![(None, page(&[], Some("")))]).await;
        assert_eq!((items.len(), asked.len()), (0, 1), "an empty token is none");
    }

    #[tokio::test]
    async fn an_error_ends_it_and_so_does_a_circle() {
        let (items, asked) = run(vec![(None, page(&[1], Some("b"))), (Some("b"), Err("no"))]).await;
        assert_eq!(items, [Ok(1), Err("list failed: no".to_owned())]);
        assert_eq!(asked.len(), 2);

        let (items, asked) = run(vec![
            (None, page(&[1], Some("b"))),
            (Some("b"), page(&[2], Some("b"))),
        ])
        .await;
        assert_eq!(items.len(), 2, "{items:?}");
        assert!(
            items[1].as_ref().unwrap_err().contains("does not end"),
            "{items:?}"
        );
        assert_eq!(asked.len(), 2);

        let (items, asked) = run(vec![
            (None, page(&[1], Some("b"))),
            (Some("b"), page(&[], Some("c"))),
            (Some("c"), page(&[], Some("b"))),
        ])
        .await;
        assert!(
            items[1].as_ref().unwrap_err().contains("does not end"),
            "{items:?}"
        );
        assert_eq!(asked.len(), 10_000);
    }
}
