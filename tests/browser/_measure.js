// What a person's eyes meet on the rendered page: contrast by WCAG 2.2 (1.4.3 for text, 1.4.11 for controls), and size.
() => {
  const parse = (color) => {
    const numbers = color.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const over = (top, below) => top.rgb.map((value, index) => value * top.alpha + below[index] * (1 - top.alpha));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return Math.round(((light + 0.05) / (dark + 0.05)) * 100) / 100;
  };
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.alpha === 1 ? own.rgb : over(own, background(element.parentElement));
  };
  const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
  const inSight = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && getComputedStyle(element).visibility === "visible";
  };

  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !inSight(element)) continue;
    const style = getComputedStyle(element);
    const color = parse(style.color);
    color.alpha *= opacity(element);
    const below = background(element);
    const pixels = parseFloat(style.fontSize);
    const large = pixels >= 24 || (pixels >= 18.66 && Number(style.fontWeight) >= 700);
    texts.push({ what: node.data.trim().slice(0, 40), ratio: contrast(over(color, below), below), need: large ? 3 : 4.5 });
  }

  const controls = [...document.querySelectorAll("input:not([type=hidden]), button, a.button, svg.sign")].filter(inSight).map((element) => {
    const style = getComputedStyle(element);
    const outside = background(element.parentElement);
    const colors = element.matches("svg") ? [style.color] : [style.borderTopColor, style.backgroundColor];
    const ratios = colors.map((color) => contrast(over(parse(color), outside), outside));
    return { what: element.textContent.trim() || element.id || element.tagName, ratio: Math.max(...ratios), need: 3 };
  });

  const page = document.documentElement;
  const cut = [...document.querySelectorAll("main *")].filter(
    (element) => inSight(element) && !element.closest(".unseen, svg") && element.getBoundingClientRect().right > innerWidth + 1,
  );
  return {
    texts,
    controls,
    scrollWidth: page.scrollWidth,
    innerWidth,
    beyondTheEdge: cut.map((element) => `${element.tagName}: ${element.textContent.trim().slice(0, 40)}`),
  };
}
