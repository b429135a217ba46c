// Browsers start no worker from file:. There a hidden frame stands for one: it loads the worker's
// script, and messages go to and fro as they would.
if (location.protocol === "file:") {
  const load = (frame, url) =>
    new Promise((done, failed) => {
      const script = frame.document.createElement("script");
      script.src = url;
      script.onload = done;
      script.onerror = failed;
      frame.document.body.appendChild(script);
    });
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.element = document.createElement("iframe");
      this.element.hidden = true;
      document.body.appendChild(this.element);
      const frame = this.element.contentWindow;
      frame.document.open();
      frame.document.write("<!doctype html><html><body></body></html>");
      frame.document.close();
      // As with a worker, what is posted is a copy, and comes later.
      frame.postMessage = (data) => {
        const message = new MessageEvent("message", { data: structuredClone(data) });
        setTimeout(() => {
          this.dispatchEvent(message);
          if (this.onmessage) this.onmessage(message);
        });
      };
      frame.importScripts = (...urls) =>
        urls.reduce((before, one) => before.then(() => load(frame, one)), Promise.resolve());
      this.frame = frame;
      this.ready = load(frame, String(url));
    }
    postMessage(data) {
      const message = new this.frame.MessageEvent("message", { data: structuredClone(data) });
      this.ready.then(() => setTimeout(() => this.frame.dispatchEvent(message)));
    }
    terminate() {
      this.element.remove();
    }
  };
}
