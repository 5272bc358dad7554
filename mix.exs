defmodule Alcove.MixProject do
  use Mix.Project

  # What both builds say of the application is in one place.
  {:ok, [{:application, :alcove, about}]} =
    :file.consult(Path.join([__DIR__, "lib", "alcove.app.src"]))

  @external_resource Path.join([__DIR__, "lib", "alcove.app.src"])
  @about about

  def project do
    [
      app: :alcove,
      version: List.to_string(@about[:vsn]),
      description: List.to_string(@about[:description]),
      elixir: "~> 1.14",
      # rebar3 has the profiles of the same names in _build.
      build_path: "_build/mix",
      compilers: [:alcove_native | Mix.compilers()] ++ [:alcove_chunks],
      erlc_paths: ["lib"],
      erlc_include_path: "include",
      erlc_options: [:debug_info],
      elixirc_paths:
        ["elixir/lib"] ++ if(Mix.env() == :test, do: ["elixir/test/support"], else: []),
      test_paths: ["elixir/test"],
      deps: deps(),
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [registered: @about[:registered], env: @about[:env]] ++ Keyword.take(@about, [:mod])
  end

  # Without Hex there is nothing to get it from, and nothing else is needed.
  defp deps do
    if Code.ensure_loaded?(Hex), do: [{:ex_doc, "~> 0.30", only: :dev, runtime: false}], else: []
  end

  defp package do
    [
      licenses: Enum.map(@about[:licenses], &List.to_string/1),
      links: Map.new(@about[:links], fn {name, link} -> {to_string(name), to_string(link)} end),
      build_tools: ["mix", "rebar3"]
    ] ++ files(@about[:files])
  end

  defp files(nil), do: []
  defp files(files), do: [files: Enum.map(files, &List.to_string/1)]

  defp docs do
    guides =
      for {name, files} <- @about[:docs][:guides],
          do: {List.to_string(name), Enum.map(files, &List.to_string/1)}

    [
      main: "readme",
      extras: Enum.flat_map(guides, fn {_, files} -> files end),
      groups_for_extras: guides,
      groups_for_modules:
        for({name, modules} <- @about[:docs][:modules], do: {List.to_string(name), modules})
    ]
  end
end

defmodule Mix.Tasks.Compile.AlcoveNative do
  @moduledoc false
  # The library and the executable are built from Rust into the priv of the target.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    script!("build-native.sh", [])
    {:noop, []}
  end

  @impl true
  def clean, do: script!("build-native.sh", ["clean"])

  @doc """
  Runs a script, which says itself what it has to say.
  """
  def script!(name, args) do
    script = Path.expand("scripts/" <> name)

    options = [
      env: [{"MIX_APP_PATH", Mix.Project.app_path()}],
      into: IO.stream(:stdio, :line),
      stderr_to_stdout: true
    ]

    case System.cmd(script, args, options) do
      {_, 0} -> :ok
      {_, status} -> Mix.raise("alcove: #{name} has failed with the status #{status}, see above")
    end
  end
end

defmodule Mix.Tasks.Compile.AlcoveChunks do
  @moduledoc false
  # What a release upgrade does, and what `h` shows of the Erlang modules.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    Mix.Tasks.Compile.AlcoveNative.script!("appup.sh", [Mix.Project.app_path()])
    Mix.Tasks.Compile.AlcoveNative.script!("doc-chunks.sh", [Mix.Project.app_path()])
    {:noop, []}
  end
end
