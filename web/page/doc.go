// Package page is the browser client: one HTML file, one style sheet and plain ES modules, embedded as they are and
// served with a content security policy that lets the page load from and talk to its own server only.
//
// It speaks to the server as every client does, by the REST calls, the WebSocket and the stream of traces (traces*.js are
// the panel beside the chat that shows them). It knows nothing of the rooms, and no other package may depend on how the
// page looks. What needs a build step, a framework or another origin may not enter. Tests drive the page in a real
// Chromium, by the package browsertest.
package page
