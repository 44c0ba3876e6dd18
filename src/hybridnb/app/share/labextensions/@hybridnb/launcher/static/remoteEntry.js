/* Launcher entries of hybridnb, written by hand as the container that JupyterLab loads: it is
   served as it is, so that nothing has to be built. */
(() => {
  'use strict';
  const NAME = '@hybridnb/launcher';
  const CATEGORY = 'hybridnb';
  // Notebooks of the gallery in the order to be read; those that Lab's root doesn't have are left out.
  const GALLERY = [
    ['quickstart', 'Quickstart'],
    ['decision_explorer', 'Decision explorer'],
    ['counterfactuals', 'Counterfactuals'],
    ['calibration', 'Calibration'],
    ['drift', 'Drift'],
    ['gate_review', 'Gate review'],
    ['stress_replay', 'Stress replay'],
    ['live_versus_replay', 'Live versus replay']
  ];
  const candles =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">' +
    '<rect width="64" height="64" rx="14" fill="#1b2a41"/>' +
    '<path d="M20 22v26" stroke="#1f9d78" stroke-width="2.5"/>' +
    '<rect x="15.5" y="30" width="9" height="14" rx="1.5" fill="#1f9d78"/>' +
    '<path d="M34 18v24" stroke="#d2553f" stroke-width="2.5"/>' +
    '<rect x="29.5" y="22" width="9" height="12" rx="1.5" fill="#d2553f"/>' +
    '<path d="M48 14v22" stroke="#1f9d78" stroke-width="2.5"/>' +
    '<rect x="43.5" y="18" width="9" height="13" rx="1.5" fill="#1f9d78"/>' +
    '<path d="M11 40c9 0 13-15 22-13s11-9 20-11" fill="none" stroke="#6ea8ff" stroke-width="3"/>' +
    '</svg>';
  const page =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">' +
    '<path d="M14 6h26l12 12v40H14z" fill="#f5f7fa" stroke="#1b2a41" stroke-width="3"/>' +
    '<path d="M22 46l9-12 7 6 9-15" fill="none" stroke="#3f7fd6" stroke-width="4"/></svg>';
  const book =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">' +
    '<rect x="10" y="8" width="44" height="48" rx="5" fill="#1b2a41"/>' +
    '<rect x="18" y="38" width="6" height="10" fill="#6ea8ff"/>' +
    '<rect x="29" y="28" width="6" height="20" fill="#1f9d78"/>' +
    '<rect x="40" y="18" width="6" height="30" fill="#d2553f"/></svg>';

  let scope = null;

  /* A package that Lab shares: of several versions the one that is loaded. */
  const shared = async name => {
    const versions = Object.values(scope[name] ?? {});
    if (!versions.length) throw new Error(`${NAME}: JupyterLab shares no ${name}`);
    const one = versions.find(each => each.loaded) ?? versions[0];
    return (await one.get())();
  };

  /* The gallery's notebooks in Lab's root, or in a folder `notebooks` of it. */
  const gallery = async contents => {
    for (const folder of ['', 'notebooks']) {
      try {
        const found = await contents.get(folder, { content: true });
        const there = new Map(found.content.map(each => [each.name, each.path]));
        const known = GALLERY.filter(([stem]) => there.has(`${stem}.ipynb`));
        if (known.length) {
          return known.map(([stem, label]) => [stem, label, there.get(`${stem}.ipynb`)]);
        }
      } catch (error) {
        if (error?.response?.status !== 404) throw error;
      }
    }
    return [];
  };

  const extension = async () => {
    const { ILauncher } = await shared('@jupyterlab/launcher');
    const { ICommandPalette } = await shared('@jupyterlab/apputils');
    const { PageConfig } = await shared('@jupyterlab/coreutils');
    const { LabIcon } = await shared('@jupyterlab/ui-components');

    const activate = async (app, launcher, palette) => {
      const icons = {
        candles: new LabIcon({ name: 'hybridnb:candles', svgstr: candles }),
        page: new LabIcon({ name: 'hybridnb:page', svgstr: page }),
        book: new LabIcon({ name: 'hybridnb:book', svgstr: book })
      };
      const add = (command, label, caption, icon, rank, execute) => {
        app.commands.addCommand(command, { label, caption, icon, execute });
        launcher?.add({ command, category: CATEGORY, rank });
        palette?.addItem({ command, category: CATEGORY });
      };
      const open = path => () =>
        void window.open(PageConfig.getBaseUrl() + path, '_blank', 'noopener');
      add('hybridnb:dashboard', 'Dashboard', 'The live dashboard', icons.candles, 0, open('hybridnb'));
      add('hybridnb:reports', 'Reports', 'Reports of every day', icons.page, 1, open('reports/'));
      const found = await gallery(app.serviceManager.contents);
      found.forEach(([stem, label, path], i) => {
        add(`hybridnb:gallery-${stem}`, label, `Open ${path}`, icons.book, 10 + i, () =>
          app.commands.execute('docmanager:open', { path })
        );
      });
    };

    const plugin = {
      id: `${NAME}:plugin`,
      description: 'Dashboard, reports and gallery of hybridnb in the launcher.',
      autoStart: true,
      optional: [ILauncher, ICommandPalette],
      activate
    };
    return () => ({ __esModule: true, default: plugin });
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: given => {
      scope = given;
    },
    get: module =>
      module === './extension'
        ? extension()
        : Promise.reject(new Error(`${NAME}: no module ${module}`))
  };
})();
