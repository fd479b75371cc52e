// What the browser tests look with: pictures as numbers, and the time from a key to new pixels.
() => {
  const pens = new Map();

  // A number that tells the picture's pixels apart; 0 while it is being loaded.
  const digest = (image) => {
    const width = image.naturalWidth, height = image.naturalHeight;
    if (!width) return 0;
    let pen = pens.get(image);
    if (!pen || pen.canvas.width !== width || pen.canvas.height !== height) {
      pen = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
      pens.set(image, pen);
    }
    pen.clearRect(0, 0, width, height);
    pen.drawImage(image, 0, 0);
    const pixels = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
    if (pixels[0] === 0) return 0;
    let sum = 1;
    for (let i = 0; i < pixels.length; i++) sum = (Math.imul(sum, 31) + pixels[i]) | 0;
    return sum || 1;
  };

  const frame = () => new Promise((done) => requestAnimationFrame(done));

  window.nslab = {pressed: 0};
  window.addEventListener('keydown', () => { window.nslab.pressed = performance.now(); }, true);

  // The picture once it has rested for longer than a drawing takes on a busy machine: else one that
  // is still on its way would be taken for what the next action leads to.
  window.nslab.settled = async (selector) => {
    const begin = performance.now();
    let before = -1, since = begin;
    while (performance.now() - begin < 30000) {
      const now = digest(document.querySelector(selector));
      if (now !== before || now === 0) [before, since] = [now, performance.now()];
      else if (performance.now() - since > 600) return now;
      for (let k = 0; k < 4; k++) await frame();
    }
    throw new Error('the picture of ' + selector + ' never settles');
  };

  // The picture once it is another than before and rests.
  window.nslab.other = async (selector, before, limit) => {
    const begin = performance.now();
    while (digest(document.querySelector(selector)) === before) {
      if (performance.now() - begin > limit) throw new Error(selector + ' stays as it was');
      await frame();
    }
    return window.nslab.settled(selector);
  };

  // Milliseconds from the next key press to other pixels.
  window.nslab.expect = (selector, limit) => {
    const image = document.querySelector(selector);
    const before = digest(image);
    window.nslab.pressed = 0;
    window.nslab.awaited = (async () => {
      const begin = performance.now();
      while (performance.now() - begin < limit) {
        await frame();
        if (!window.nslab.pressed) continue;
        const now = digest(image);
        if (now !== 0 && now !== before) return performance.now() - window.nslab.pressed;
      }
      return -1;
    })();
  };

  // Milliseconds until a status line begins with a word.
  window.nslab.says = async (selector, word, limit) => {
    const begin = performance.now();
    while (performance.now() - begin < limit) {
      const line = document.querySelector(selector);
      if (line && line.textContent.trim().startsWith(word)) return performance.now() - begin;
      await frame();
    }
    return -1;
  };
}
