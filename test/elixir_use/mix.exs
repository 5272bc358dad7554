defmodule Use.MixProject do
  use Mix.Project

  # alcove is where ERL_LIBS says; in a project of yours it is in deps.
  def project do
    [app: :use, version: "0.1.0", elixir: "~> 1.14", deps: []]
  end

  def application do
    [extra_applications: [:logger, :alcove]]
  end
end
